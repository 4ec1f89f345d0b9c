"""The dialects of deployed servers that differ from the draft: read and written here, one module per dialect."""
