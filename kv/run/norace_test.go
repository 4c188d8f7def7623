//go:build !race

package run

const damageStride = 1
