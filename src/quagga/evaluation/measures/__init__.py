"""What pictures are measured by: figures with their intervals, a classifier of one's own, patches, pretrained features."""
