package etcd

import "context"

// Admit proves the user of a caller, as it is done before a method is called.
func Admit(f *Face, c *Caller) error { return f.admit(context.Background(), c, User) }

// AdmitRoot is Admit for a method that is for the role root only.
func AdmitRoot(f *Face, c *Caller) error { return f.admit(context.Background(), c, 0) }
