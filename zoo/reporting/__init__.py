"""Results -> one self-contained HTML page: training reports and reproducible studies."""
