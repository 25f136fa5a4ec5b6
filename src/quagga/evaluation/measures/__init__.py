"""What pictures are measured by: a classifier of one's own, patches, pixels, pretrained features; and intervals."""
