"""One forward pass that reads the attention of every layer, its store on disk, and scores under any window."""
