"""What a training run consists of besides its loop: settings, checkpoints, folders, watchers, recipes."""
