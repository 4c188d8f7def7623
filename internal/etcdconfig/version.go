package etcdconfig

// Version is that of etcd whose flags these are, and as which a server answers.
const Version = "3.7.3"
