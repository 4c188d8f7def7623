// Command packaging makes what a release consists of, into the folder dist:
//
//	balsa-VERSION-OS-ARCH.tar.gz     the program, its licence and its manual; a .zip for Windows
//	balsa-VERSION-OS-ARCH.cdx.json   what the program was built from: a CycloneDX SBOM
//	balsa_VERSION_ARCH.deb           packages with a systemd unit
//	balsa-VERSION.ARCH.rpm
//	balsa-chart-VERSION.tgz          the Helm chart
//	container/                       all that a container image is built from
//	SHA256SUMS                       of all files but those of container
//
// It is a module of its own, so that what packages balsa is no dependency of balsa.
//
// The same commit gives the same bytes, wherever and whenever it is built: programs are static
// and without paths, archives are sorted, and all times are that of the commit. The version is
// what Go makes of the tags of the repository: v1.2.3 at that tag, a pseudo-version elsewhere,
// with +dirty where files differ from the commit. Without a repository, and in a worktree
// beside one, it is v0.0.0-devel; -version says another one.
package main
