"""What people read: the answers in words, tables, figures. It computes nothing."""
