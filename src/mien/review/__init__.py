"""Which labels of a data set are wrong, and how many: suspects, a page to look through them, a corrected table."""
