package machine

import "golang.org/x/sys/unix"

// kinds are the kinds of file systems that matter, by their numbers in statfs(2).
var kinds = map[uint32]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "tmpfs", unix.NFS_SUPER_MAGIC: "nfs",
	unix.SMB_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "smb", unix.SMB2_SUPER_MAGIC: "smb", unix.FUSE_SUPER_MAGIC: "fuse",
}

// FileSystem is the kind of the file system that a directory is in: tmpfs, nfs, smb or fuse; empty for any other.
func FileSystem(dir string) string {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return ""
	}
	return kinds[uint32(s.Type)]
}
