"""A built folder in; S3 and compatibles, the Hugging Face Hub or a directory out.

A target holds every byte under its sha256 (`blobs/`), the site's documents at their own paths,
one document a release (`releases/<id>.json`) and the channel that says which release is served
(`channels/stable.json`). Publishing sends blobs first, points documents at them afterwards and
moves the channel last; rolling back points the documents at an older release's blobs.
"""
