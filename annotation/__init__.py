"""The domain: values, geometry, label schemas, formats, checks. No Qt, no database, no onnxruntime."""
