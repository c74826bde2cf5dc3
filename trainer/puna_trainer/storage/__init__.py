"""Storage: files and folders that come from elsewhere, and artifacts that go elsewhere."""
