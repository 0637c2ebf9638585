"""What runs both sides in one process: engines, the synthetic shop, studies, reports and benchmarks."""
