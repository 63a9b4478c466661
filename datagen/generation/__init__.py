"""Parts that backends share: options, batches that fit into memory, and the steps of a reflection."""
