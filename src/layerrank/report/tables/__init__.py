"""Tables: one description (`describe`), four formats (`render`), and a module for each subject."""
