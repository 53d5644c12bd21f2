"""A run's predictions -> scores, mistakes and paired comparisons."""
