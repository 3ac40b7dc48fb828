"""One module a subcommand: `add_arguments(parser)` and `run(options)`; logic lives in the library."""
