"""Which pictures there are: in folders, in pairs, in tables, in datasets of other libraries; which are held out."""
