"""From labelled pictures to batches: dataset.json, TFRecords, augmentation."""
