package machine

import "os"

// OpenDescriptors returns how many descriptors this process has, and may have; zeros where that cannot be told.
func OpenDescriptors() (used, limit uint64) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, 0
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, 0
	}
	return uint64(len(names)) - 1, uint64(DescriptorLimit()) // without the one of dir
}
