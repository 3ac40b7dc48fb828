"""A study's questions, a module each: what the figures say, in words, a table and a figure."""
