package etcd

import "time"

// ProgressInterval is the interval of one stream where one was set.
func ProgressInterval(set time.Duration) time.Duration {
	w := Watches{ProgressInterval: set}
	return w.progressInterval()
}
