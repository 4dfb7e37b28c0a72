package server

import (
	"log/slog"

	"supercluster/registry/access"
)

// class is the quota that a method is charged to, and how its calls are logged.
type class uint8

const (
	classRead  class = iota // answers from this node, or after one shared read of the log
	classWrite              // one entry in the log
	classOpen               // opens a stream
	classFree               // health: no quota, so that a flood of reads cannot hide that the node is alive
	classCount
)

func (c class) String() string {
	return [classCount]string{"read", "write", "open", "free"}[c]
}

// row says how a method is treated before its handler runs.
type row struct {
	method string
	verb   access.Verb
	kind   string
	class  class
	// maxBytes is the largest request.
	maxBytes int
	// level is that of the log line of a call that went well.
	level slog.Level
	// open methods ask nobody: health.
	open bool
}

// Request sizes. Config takes a value of 1 MiB and what goes with it; a transaction fits one log entry.
const (
	small    = 16 << 10
	medium   = 256 << 10
	oneValue = 1<<20 + 64<<10
	wholeTxn = 3 << 19
	batch    = 3 << 20
)

const v1 = "/supercluster.v1."

// methodTable has one row for each method that may be registered. Handlers decide again on the concrete resource.
var methodTable = []row{
	{v1 + "TenantService/CreateTenant", access.VerbCreate, access.KindTenant, classWrite, small, slog.LevelInfo, false},
	{v1 + "TenantService/ListTenants", access.VerbList, access.KindTenant, classRead, small, slog.LevelDebug, false},
	{v1 + "TenantService/DeleteTenant", access.VerbDelete, access.KindTenant, classWrite, small, slog.LevelInfo, false},
	{v1 + "TenantService/CreateNamespace", access.VerbCreate, access.KindNamespace, classWrite, small, slog.LevelInfo, false},
	{v1 + "TenantService/ListNamespaces", access.VerbList, access.KindNamespace, classRead, small, slog.LevelDebug, false},
	{v1 + "TenantService/DeleteNamespace", access.VerbDelete, access.KindNamespace, classWrite, small, slog.LevelInfo, false},

	{v1 + "RegistryService/RegisterInstance", access.VerbPut, access.KindInstance, classWrite, medium, slog.LevelInfo, false},
	{v1 + "RegistryService/DeregisterInstance", access.VerbDelete, access.KindInstance, classWrite, small, slog.LevelInfo, false},
	{v1 + "RegistryService/Heartbeat", access.VerbHeartbeat, access.KindInstance, classRead, batch, slog.LevelDebug, false},
	{v1 + "RegistryService/PutService", access.VerbPut, access.KindService, classWrite, medium, slog.LevelInfo, false},
	{v1 + "RegistryService/GetService", access.VerbGet, access.KindService, classRead, small, slog.LevelDebug, false},
	{v1 + "RegistryService/ListServices", access.VerbList, access.KindService, classRead, small, slog.LevelDebug, false},
	{v1 + "RegistryService/DeleteService", access.VerbDelete, access.KindService, classWrite, small, slog.LevelInfo, false},
	{v1 + "RegistryService/ListInstances", access.VerbList, access.KindInstance, classRead, small, slog.LevelDebug, false},
	{v1 + "RegistryService/PutRoute", access.VerbPut, access.KindRoute, classWrite, medium, slog.LevelInfo, false},
	{v1 + "RegistryService/GetRoute", access.VerbGet, access.KindRoute, classRead, small, slog.LevelDebug, false},
	{v1 + "RegistryService/ListRoutes", access.VerbList, access.KindRoute, classRead, small, slog.LevelDebug, false},
	{v1 + "RegistryService/DeleteRoute", access.VerbDelete, access.KindRoute, classWrite, small, slog.LevelInfo, false},
	{v1 + "RegistryService/Lookup", access.VerbDiscover, access.KindService, classRead, small, slog.LevelDebug, false},
	{v1 + "RegistryService/Explain", access.VerbGet, access.KindService, classRead, small, slog.LevelDebug, false},

	// Config writes are many: their log lines are for debugging, the history of an entry is its audit.
	{v1 + "ConfigService/PutConfig", access.VerbPut, access.KindConfig, classWrite, oneValue, slog.LevelDebug, false},
	{v1 + "ConfigService/GetConfig", access.VerbGet, access.KindConfig, classRead, small, slog.LevelDebug, false},
	{v1 + "ConfigService/ListConfigs", access.VerbList, access.KindConfig, classRead, small, slog.LevelDebug, false},
	{v1 + "ConfigService/DeleteConfig", access.VerbDelete, access.KindConfig, classWrite, small, slog.LevelDebug, false},
	{v1 + "ConfigService/ListConfigHistory", access.VerbList, access.KindConfig, classRead, small, slog.LevelDebug, false},
	{v1 + "ConfigService/RollbackConfig", access.VerbPut, access.KindConfig, classWrite, small, slog.LevelInfo, false},
	{v1 + "ConfigService/Txn", access.VerbPut, access.KindConfig, classWrite, wholeTxn, slog.LevelDebug, false},

	{v1 + "WatchService/Watch", access.VerbWatch, access.KindEvents, classOpen, small, slog.LevelDebug, false},

	{v1 + "ClusterService/GetStatus", access.VerbGet, access.KindCluster, classRead, small, slog.LevelDebug, false},
	{v1 + "ClusterService/ListMembers", access.VerbList, access.KindCluster, classRead, small, slog.LevelDebug, false},
	{v1 + "ClusterService/Compact", access.VerbAdmin, access.KindCluster, classWrite, small, slog.LevelInfo, false},
	{v1 + "ClusterService/Backup", access.VerbAdmin, access.KindCluster, classOpen, small, slog.LevelInfo, false},

	// A change of what is exchanged with other regions is logged with its principal. Requests are never logged: an
	// invitation is a secret.
	{v1 + "FederationService/GetFederation", access.VerbGet, access.KindFederation, classRead, small, slog.LevelDebug, false},
	{v1 + "FederationService/ListLinks", access.VerbList, access.KindFederation, classRead, small, slog.LevelDebug, false},
	{v1 + "FederationService/ListChannels", access.VerbList, access.KindFederation, classRead, small, slog.LevelDebug, false},
	{v1 + "FederationService/PutChannel", access.VerbPut, access.KindFederation, classWrite, medium, slog.LevelInfo, false},
	{v1 + "FederationService/Verify", access.VerbGet, access.KindFederation, classRead, small, slog.LevelDebug, false},
	{v1 + "FederationService/PutImport", access.VerbPut, access.KindFederation, classWrite, medium, slog.LevelInfo, false},
	{v1 + "FederationService/ListQuarantine", access.VerbList, access.KindFederation, classRead, small, slog.LevelDebug, false},
	{v1 + "FederationService/CreateInvitation", access.VerbCreate, access.KindRegion, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/AcceptInvitation", access.VerbCreate, access.KindRegion, classWrite, medium, slog.LevelInfo, false},
	{v1 + "FederationService/ListPeers", access.VerbList, access.KindRegion, classRead, small, slog.LevelDebug, false},
	{v1 + "FederationService/RemovePeer", access.VerbDelete, access.KindRegion, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/SetRegionCost", access.VerbAdmin, access.KindRegion, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/RenameRegion", access.VerbAdmin, access.KindRegion, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/Unfence", access.VerbAdmin, access.KindRegion, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/LinkTenant", access.VerbAdmin, access.KindTenant, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/PutPlacement", access.VerbPut, access.KindPlacement, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/DeletePlacement", access.VerbDelete, access.KindPlacement, classWrite, small, slog.LevelInfo, false},
	{v1 + "FederationService/ListPlacements", access.VerbList, access.KindPlacement, classRead, small, slog.LevelDebug, false},

	{v1 + "ProxyService/ListProxies", access.VerbList, access.KindProxy, classRead, small, slog.LevelDebug, false},
	{v1 + "ProxyService/GetProxy", access.VerbGet, access.KindProxy, classRead, small, slog.LevelDebug, false},
	{v1 + "ProxyService/MakeBootstrap", access.VerbDiscover, access.KindBootstrap, classRead, small, slog.LevelDebug, false},

	{"/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", access.VerbDiscover, access.KindXDS, classOpen, batch, slog.LevelDebug, false},
	{"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", access.VerbDiscover, access.KindXDS, classOpen, batch, slog.LevelDebug, false},

	{"/grpc.health.v1.Health/Check", access.VerbGet, "health", classFree, small, slog.LevelDebug, true},
	{"/grpc.health.v1.Health/List", access.VerbList, "health", classFree, small, slog.LevelDebug, true},
	{"/grpc.health.v1.Health/Watch", access.VerbWatch, "health", classFree, small, slog.LevelDebug, true},

	{"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", access.VerbGet, access.KindCluster, classOpen, small, slog.LevelDebug, false},
	{"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", access.VerbGet, access.KindCluster, classOpen, small, slog.LevelDebug, false},
}

// rowOf finds the row of a method.
func rowOf(method string) (row, bool) {
	for _, r := range methodTable {
		if r.method == method {
			return r, true
		}
	}
	return row{}, false
}
