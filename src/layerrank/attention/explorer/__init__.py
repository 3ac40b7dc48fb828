"""The explorer: one page on which a range of layers is dragged and the ranking, and the words behind it, follow."""
