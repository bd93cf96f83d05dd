"""A built folder in; S3 and compatibles, the Hugging Face Hub or a directory out."""
