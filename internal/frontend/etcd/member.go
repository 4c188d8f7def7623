package etcd

import (
	"context"

	"balsa.example/internal/frontend/etcd/translate"
)

// The versions that this API is compatible with. Clients compare them with those of etcd that they
// know.
const (
	Version        = "3.7.3"
	ClusterVersion = "3.7.0"
	StorageVersion = "3.7.0"

	// downgradeTarget is the one version that etcd would go back to from ClusterVersion.
	downgradeTarget = "3.6"
)

// Member is what a Face knows of the member it is at, and of the others.
type Member interface {
	// Members are all members of the cluster, by rising id.
	Members() []translate.Member
	// Status describes this member.
	Status() translate.Status
	// MoveLeader lets another member lead. Errors are those of rsm.Node.TransferLeadership.
	MoveLeader(ctx context.Context, to uint64) error

	// AddMember, RemoveMember, UpdateMember and PromoteMember change the members. Their errors are
	// those of package translate, or of ctx.
	AddMember(ctx context.Context, peerURLs []string, learner bool) (id uint64, err error)
	RemoveMember(ctx context.Context, id uint64) error
	UpdateMember(ctx context.Context, id uint64, peerURLs []string) error
	PromoteMember(ctx context.Context, id uint64) error
}
