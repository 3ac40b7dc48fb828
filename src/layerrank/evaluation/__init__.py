"""From runs to figures that can be trusted: measures, values per query, paired tests, intervals, costs."""
