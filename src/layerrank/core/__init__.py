"""What every room shares, importing nothing of ours: records, windows, systems, files, tables, errors."""
