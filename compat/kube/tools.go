//go:build tools

// Package kube lists what is built of Kubernetes. It is a module of its own, since Kubernetes wants
// its parts replaced, and older versions of what compat has.
package kube

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
