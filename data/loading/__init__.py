"""In which order rows come, and who reads them: the main process, a thread, workers, a cache in memory."""
