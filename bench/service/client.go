package service

import (
	"os"

	"balsa.example/internal/machine"
)

// CollectSeldom has this process collect the garbage of its clients as seldom as "balsa bench" does, unless GOGC is set.
// The clients of services are not what is measured. With the few MiB that they have in use, Go would collect a hundred
// times a second, on the processors that they share with the servers.
func CollectSeldom() {
	_, set := os.LookupEnv("GOGC")
	machine.CollectSeldom("/", set)
}
