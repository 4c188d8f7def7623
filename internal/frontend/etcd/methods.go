package etcd

import "slices"

// Methods are all methods of the API that a Face answers.
var Methods = slices.Concat(kvMethods, leaseMethods, authMethods, clusterMethods, maintenanceMethods, watchMethods, lockMethods, electionMethods)
