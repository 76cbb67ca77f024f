"""What runs: processes that leave no orphans, notebooks, pages."""
