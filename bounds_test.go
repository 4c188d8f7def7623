package balsa_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// bounds says of each list, map and channel of the packages that anybody can connect to, and of those that keep the state
// and the log, what keeps it from growing without end. A test that it names shows that.
var bounds = map[string]string{
	"internal/frontend/clients Port.sources":         "the connections: TestListenerClosesSurplusAtOnce",
	"internal/frontend/clients Port.all":             "Limits.Connections: TestWhoHasMostGivesWayToWhoHasLess",
	"internal/frontend/native rights.spans":          "clients.Limits: watchers of a client",
	"internal/frontend/native rights.replaced":       "0",
	"internal/frontend/native Server.backups":        "maxBackups: TestBackupsAreBounded",
	"internal/frontend/native backupStream.draining": "0",
	"internal/frontend/native backupStream.requests": "0",
	"api BackupReply.Data":                           "backupPiece",
	"api Request.Trace":                              "MaxMessageBytes, and it counts: costOf",
	"api BackupRequest.File":                         "MaxMessageBytes",
	"clerk Backup.image":                             "maxBackupImage",
	"clerk backupFile.rest":                          "a message",
	"internal/frontend/native clientStream.gets":     "maxGets: TestClientStreamBoundsTheBytesOfReplies",
	"internal/frontend/native clientStream.parked":   "MaxClientRequests, and their bytes count: TestRangesOverABoundAreReadInTheirOrder",
	"internal/frontend/native clientStream.unsent":   "maxUnsentReplies, and those in progress: TestClientStreamStopsInTheMidstOfABatch, TestClientStreamBoundsTheBytesOfReplies, TestRefusalsAreBounded, TestStreamThatCannotBeCountedEnds",
	"internal/frontend/clients Port.values":          "the faces",
	"internal/frontend/clients Port.methods":         "the code",
	"internal/replica keepAliveBatch.leases":         "maxKeepAlives: TestForwardedKeepAlivesAreBounded",
	"internal/replica keepAliveBatch.done":           "as many as leases",
	"state/lease Table.floating":                     "the leases",
	"internal/replica slab.free":                     "slabReplies",
	"internal/replica pace.done":                     "0",
	"internal/replica background.ended":              "0",
	"internal/replica readers.waiting":               "the requests in progress, of which ranges count for their pages: TestRangesCountForTheirPagesBeforeTheyAreRead",
	"internal/server Cluster.urls":                   "the members",
	"internal/server raftStatus.Progress":            "the members",
	"internal/server Config.ListenPeer":              "the configuration",
	"internal/server joined.listeners":               "the configuration",
	"internal/server joined.accepted":                "0",
	"internal/server joined.closed":                  "0",
	"internal/server Config.ListenClient":            "the configuration",
	"internal/server Config.AdvertiseClient":         "the configuration",
	"internal/server Config.ListenMetrics":           "the configuration",
	"internal/server Config.Settings":                "the configuration",
	"internal/server Config.ClientListeners":         "the configuration",
	"internal/server Config.MetricsListeners":        "the configuration",
	"internal/server Server.ran":                     "0",
	"internal/frontend/native Server.begun":          "0",
	"internal/server Server.ready":                   "0",
	"internal/server Server.assembled":               "0",
	"internal/server Server.failed":                  "0",
	"internal/server Server.stopped":                 "0",
	"internal/frontend/native Server.draining":       "0",
	"internal/server Config.Origins":                 "the configuration",
	"internal/server Config.Hosts":                   "the configuration",
	"internal/frontend/etcd/gateway Config.Methods":  "the code",
	"internal/frontend/etcd/gateway Config.Origins":  "the configuration",
	"internal/frontend/etcd/gateway Gateway.paths":   "the code",
	"internal/frontend/clients httpServer.queue":     "0",
	"internal/frontend/clients httpServer.done":      "0",
	"internal/frontend/clients ackFilter.held":       "frameHeaderSize",
	"internal/frontend/clients Client.turn":          "1",
	"internal/frontend/clients openStreams.unread":   "Limits.Streams: TestUnreadResponsesCount",
	"internal/frontend/clients Client.sending":       "Limits.Streams: TestStreamsAreBounded",

	// The server of gRPC.
	"internal/grpcserver Server.methods":       "the code",
	"internal/grpcserver Server.services":      "the code",
	"internal/grpcserver Server.listeners":     "the configuration",
	"internal/grpcserver Server.raw":           "the connections: internal/frontend/clients bounds them",
	"internal/grpcserver Server.conns":         "the connections: internal/frontend/clients bounds them",
	"internal/grpcserver Server.done":          "0",
	"internal/grpcserver Server.decompressing": "maxDecompressing: TestDecompressionIsBounded",
	"internal/grpcserver message.data":         "that of the inbox, before it is decompressed",
	"internal/grpcserver workers.calls":        "0; who waits there is one of maxIdle: TestIdleWorkersAreBounded",
	"internal/grpcserver callContext.after":    "the contexts that its handler makes",
	"internal/grpcserver callContext.done":     "0",
	"internal/grpcserver conn.streams":         "Config.MaxStreams: TestStreamsAreBounded, TestHandlersOfStreamsThatWereResetAreBounded, TestDeadlinesOfStreamsThatHaveEndedAreForgotten",
	"internal/grpcserver conn.control":         "maxControl: TestAnswersToControlFramesAreBounded, TestFramesThatSayNothingLeaveNothing",
	"internal/grpcserver conn.wake":            "1",
	"internal/grpcserver frame.payload":        "maxFrame: TestLargeFrameIsRefused",
	"internal/grpcserver frameReader.buf":      "maxReadBuffer: TestFramesAreTheSameHoweverTheyAreCut, FuzzConnection",
	"internal/grpcserver headerReader.fields":  "Config.MaxHeaderBytes: TestHeadersAreBounded",
	"internal/grpcserver headerReader.key":     "Config.MaxHeaderBytes: TestHeadersAreBounded",
	"internal/grpcserver headerReader.known":   "maxKnown and maxKnownBytes: TestKnownRequestsAreBounded",
	"internal/grpcserver inbox.data":           "Config.StreamWindow, or a message: TestTheInboxIsBoundedWhileAMessageIsAwaited, TestAClientIsAllowedOneWindowAheadOfItsHandler, TestMessagesThatAreTooLargeAreRefused, TestTheMemoryOfAMessageIsLetGo",
	"internal/grpcserver inbox.behind":         "Config.StreamWindow divided by ownMemory: TestMessagesHaveTheirOwnMemory",
	"internal/grpcserver turns.waiting":        "Config.MaxStreams: TestLargeMessagesTakeTurns, TestStreamsThatEndLeaveTheirTurn",
	"internal/grpcserver outbox.headers":       "maxMetadata: TestMetadataOfAResponseIsBounded",
	"internal/grpcserver outbox.messages":      "sendQuota, and one message: TestWhatAStreamHasToSendIsBounded",
	"internal/grpcserver trailers.extra":       "maxMetadata: TestMetadataOfAResponseIsBounded",

	"internal/datadir MemberFile.turn":     "1",
	"internal/datadir Owner.Members":       "the members",
	"internal/datadir Membership.Peers":    "roster.MaxMembers",
	"internal/datadir fields.peers":        "roster.MaxMembers",
	"internal/roster About.Peers":          "MaxAbout: TestARosterIsBounded",
	"internal/roster About.Clients":        "MaxAbout: TestARosterIsBounded",
	"internal/roster Roster.Members":       "MaxMembers: TestARosterIsBounded",
	"internal/roster Roster.Removed":       "MaxRemoved: TestARosterIsBounded",
	"internal/roster decoder.b":            "what is decoded",
	"member Config.Join":                   "the configuration",
	"member Info.Peers":                    "roster.MaxAbout",
	"member Info.Clients":                  "roster.MaxAbout",
	"member Members.All":                   "roster.MaxMembers",
	"member answer.Members":                "roster.MaxMembers",
	"member NewMember.Peers":               "roster.MaxAbout: TestARosterIsBounded",
	"member NewMember.Clients":             "roster.MaxAbout: TestARosterIsBounded",
	"member names.byID":                    "maxNames: TestNamesOfLaterMembersAreLearned",
	"member names.order":                   "maxNames: TestNamesOfLaterMembersAreLearned",
	"member Member.connected":              "only closed",
	"member peers.asking":                  "1",
	"member peers.said":                    "the members that this one knows, each with maxSaid addresses",
	"member peers.leaving":                 "the members, and who was one within removalGrace",
	"internal/server Config.JoinAt":        "the configuration",
	"internal/server Config.AdvertisePeer": "the configuration",
	"member Config.Peers":                  "the configuration",
	"member Config.Clients":                "the configuration",

	"member admission.others":     "the members",
	"member admission.refused":    "the members: TestAdmissionFailsWhenAMajorityOfTheOthersRefuses",
	"member Cluster.Members":      "the members",
	"member Config.Attributes":    "the configuration",
	"member TLS.AllowedCNs":       "the configuration",
	"member TLS.AllowedHostnames": "the configuration",
	"member TLS.CipherSuites":     "the configuration",
	"member Member.refusals":      "16",
	"member Member.begun":         "0",
	"member Member.failed":        "0",

	"transport Transport.serving":     "maxServedCalls: TestCallsAreBounded",
	"transport Transport.strangers":   "maxStrangers: TestCallsAreBounded",
	"transport Transport.peers":       "the members",
	"transport Handshake.Attributes":  "attributesMax",
	"transport Config.Peers":          "the members",
	"transport PeerStatus.Attributes": "helloMax: TestBadHandshakesEndTheConnection",
	"transport identity.attributes":   "helloMax: TestBadHandshakesEndTheConnection",
	"transport identity.card":         "helloMax: TestBadHandshakesEndTheConnection",
	"transport identity.name":         "helloMax: TestBadHandshakesEndTheConnection",
	"transport verdict.reason":        "helloMax, and reasonMax where it is written",
	"transport Handshake.Members":     "the members",
	"transport queue.messages":        "Limits.QueueMessages and QueueBytes: TestQueueIsBounded",
	"transport writer.batch":          "queue.messages",
	"transport writer.buf":            "flushBytes, and one message",
	"transport frameReader.scratch":   "Limits.MaxFrame, helloMax before the peer is known: TestLongFrameIsRefusedBeforeItIsRead",
	"transport streamReader.chunk":    "streamFrameMax",
	"transport coder.buf":             "the frame",
	"transport connection.done":       "0",
	"transport keepalive.duplicate":   "the frame; it is told in the log and not kept",
	"transport connection.writing":    "1",
	"transport peer.sending":          "1",
	"transport peer.receiving":        "1: TestSupersededSnapshotsDoNotWait",
	"transport peer.fetching":         "maxFetches: TestFetchesFromAPeerAreBounded",
	"transport peer.serving":          "maxServedFetches: TestFetchesByAPeerAreBounded",
	"transport fetchRequest.name":     "fetchNameMax: TestBadFetchesAreRefused",

	"internal/fair Slots.sources": "Slots.max: TestWhoHasMostGivesWayToWhoHasLess",
	"internal/fair Queue.lines":   "Queue.max: TestQueueKeepsItsBounds",
	"internal/fair line.all":      "Queue.max: TestQueueKeepsItsBounds",

	"internal/metrics Config.Collectors":    "the code",
	"internal/metrics Calls.methods":        "the code",
	"internal/metrics EtcdRequests.clients": "maxClientVersions: TestVersionsOfClientsAreBounded",
	"internal/metrics EtcdRequests.types":   "the code",
	"internal/metrics Replica.LeaseTTLs":    "the code",
	"internal/metrics Requests.codes":       "the code",
	"internal/metrics Requests.kinds":       "the code",
	"internal/metrics Kind.counts":          "the code",
	"internal/metrics Sample.Peers":         "the members",
	"internal/metrics Sample.TLS":           "the code",
	"internal/metrics Sample.Surplus":       "the code",
	"internal/metrics Sample.Alarms":        "the code",
	"internal/metrics Sample.Connections":   "the code",
	"internal/metrics Sample.Members":       "the code",
	"internal/metrics Disk.Limits":          "the code",
	"internal/metrics Failures.counts":      "the code",
	"internal/metrics Work.kinds":           "the code",
	"internal/metrics Work.etcd":            "the code",
	"internal/metrics Applies.names":        "the code",
	"internal/metrics Applies.times":        "the code",
	"internal/metrics Sample.EtcdAlarms":    "state.MaxAlarms, and the members",
	"internal/metrics Totals.SyncTimes":     "the code",

	"clerk Route.servers":     "maxServers: TestRouteIsBounded",
	"clerk Route.nodes":       "maxServers: TestRouteIsBounded",
	"clerk network.links":     "network.kept, those whose status is asked for, and those that something still waits for: TestLinksToFormerMembersAreDropped",
	"clerk network.kept":      "Route.servers",
	"clerk grantIDs.doubted":  "maxLate: TestEachAttemptToGrantHasItsOwnID",
	"clerk link.queue":        "maxQueueCalls and maxQueueBytes: TestConcurrentCallsShareBatches",
	"clerk link.sent":         "the callers, each of whom waits",
	"clerk link.room":         "0",
	"clerk attempts.reached":  "lastBit",
	"clerk operation.late":    "maxLate",
	"clerk operation.pending": "maxLate",
	"clerk call.done":         "1",
	"clerk Clerk.done":        "0",
	"clerk KV.Value":          "maxReplyBatch",
	"clerk keeper.leases":     "the leases that the program has asked for",
	"clerk keeper.settled":    "nothing is sent on it; it is only closed",
	"clerk schedule.leases":   "keeper.leases",
	"clerk byTime.leases":     "keeper.leases",
	"clerk Lease.done":        "0",
	"clerk LeaseInfo.Keys":    "maxReplyBatch",
	"clerk session.room":      "0",
	"clerk sessions.opening":  "0",
	"clerk login.turn":        "1",
	"clerk Users.Users":       "auth.MaxBytes",
	"clerk Users.Roles":       "auth.MaxBytes",
	"clerk User.Roles":        "auth.MaxRoles",
	"clerk Role.Permissions":  "auth.MaxPermissions",
	"clerk Tx.reads":          "maxTxKeys: TestTxIsBounded",
	"clerk Tx.spans":          "maxTxKeys: TestTxIsBounded",
	"clerk Tx.writes":         "maxTxKeys: TestTxIsBounded",
	"clerk Tx.order":          "maxTxKeys: TestTxIsBounded",
	"clerk TxnResult.Results": "maxReplyBatch",
	"clerk OpResult.KVs":      "maxReplyBatch",

	"internal/frontend/etcd encodedRange.lent":             "maxResponseBytes, and it counts: TestUnreadResponsesCount",
	"internal/frontend/etcd/translate RangeMessage.own":    "a header",
	"internal/frontend/etcd/translate RangeMessage.shared": "maxResponseBytes: TestRangesOfAnySizeAreWhole",
	"internal/frontend/etcd/translate Page.Entries":        "Pages.Bytes: TestRangeStreamHasPages",
	"internal/frontend/etcd deadline.late":                 "0",
	"internal/frontend/etcd keepAlives.waiting":            "maxStreamKeepAlives: TestKeepAliveStreamIsBounded",
	"internal/frontend/etcd room.turn":                     "1",
	"internal/frontend/etcd room.units":                    "maxResponseBytes: TestRoomIsBoundedAndEverybodyGetsIt",

	"internal/wake Signal.c": "1",

	"state/lease Table.pages":      "Limits.Leases",
	"state/lease Table.free":       "Limits.Leases",
	"state/lease Table.index":      "Limits.Leases: TestLeasesAreBounded",
	"state/lease expiries.heap":    "Limits.Leases",
	"state/lease expiries.at":      "Limits.Leases",
	"state/lease keySet.few":       "fewKeys; all are Limits.KeysPerLease: TestKeysOfALeaseAreBounded",
	"state/lease session.outcomes": "Limits.Window, SessionBytes and AllOutcomeBytes: TestOutcomeThatFallsOutOfTheWindowIsForgotten, TestResultsOfASessionAreBounded, TestOutcomesOfAllSessionsAreBounded",
	"state/lease Outcome.Result":   "Limits.OutcomeBytes: TestLargeResultKeepsRevisionAndCode",
	"state/lease Ended.Keys":       "Limits.KeysPerLease",
	"state/lease Image.pages":      "Limits.Leases",

	"state/auth User.Hash":        "maxHashBytes: TestTableIsBounded",
	"state/auth User.Roles":       "MaxRoles: TestTableIsBounded",
	"state/auth Role.Permissions": "MaxPermissions: TestTableIsBounded",
	"state/auth Role.read":        "MaxPermissions",
	"state/auth Role.write":       "MaxPermissions",
	"state/auth Table.secret":     "maxSecretBytes",
	"state/auth decoder.b":        "of one image",
	"state/auth Table.users":      "MaxBytes: TestTableIsBounded",
	"state/auth Table.roles":      "MaxBytes: TestTableIsBounded",
	"state/auth Change.Hash":      "maxHashBytes",
	"state/auth Change.Secret":    "maxSecretBytes",

	"state/logtime batch.leases":       "Config.MaxKeepAlives: TestKeepAlivesAreBounded",
	"state/logtime batch.tokens":       "Config.MaxKeepAlives",
	"state/logtime Tick.Leases":        "Config.MaxKeepAlives",
	"state/logtime Timekeeper.answers": "of one turn",
	"state/logtime Effects.Answers":    "of one turn",
	"state/logtime Answer.Tokens":      "Config.MaxKeepAlives",
	"state/logtime Answer.Remaining":   "Config.MaxKeepAlives",

	"internal/frontend/native surroundings.draining": "0",
	"internal/replica Watches.leaderless":            "0",

	"clerk Watcher.parts":        "the revision",
	"clerk Delivery.Events":      "the revision",
	"clerk Changes.Events":       "the revision",
	"clerk watching.deliveries":  "the update",
	"clerk network.watches":      "the servers",
	"clerk watchLink.watchers":   "the watches",
	"clerk watchLink.creates":    "the watches",
	"clerk watchLink.cancels":    "the watches that have ended since the last request",
	"clerk subscription.updates": "maxUnread, and the revision whose parts come: TestSlowLoopLeavesEventsAtTheServer",

	"api WatchRequest.Create": "maxBatchParts: TestWatchMessagesOfTooManyPartsAreRefused",
	"api WatchRequest.Cancel": "maxBatchParts: TestWatchMessagesOfTooManyPartsAreRefused",
	"api WatchReply.Updates":  "maxBatchParts: TestWatchMessagesOfTooManyPartsAreRefused",
	"api WatchUpdate.Ids":     "the message",
	"api WatchUpdate.Batches": "the message",
	"api EventBatch.Events":   "the message",
	"api WatchMessage.own":    "maxBatchBytes, and one update: TestSlowWatcherCostsACursor",
	"api WatchMessage.pieces": "maxBatchBytes, and one part: TestLargeRevisionIsSentInParts",
	"api piece.shared":        "maxEventBytes, and one event: TestLargeRevisionIsSentInParts",

	"kv/watch index.keys":        "Limits.Watchers: TestWhatAHubKeepsIsBounded",
	"kv/watch node.groups":       "the combinations of filters",
	"kv/watch group.ring":        "Limits.RingBytes, over all groups: TestWhatAHubKeepsIsBounded",
	"kv/watch group.open":        "the revision",
	"kv/watch group.idle":        "the streams",
	"kv/watch ring.order":        "Limits.RingBytes: TestWhatAHubKeepsIsBounded",
	"kv/watch Batch.Events":      "the revision",
	"kv/watch Hub.asking":        "the streams, each once",
	"kv/watch Hub.streams":       "the streams that clients may have",
	"kv/watch Hub.touched":       "the groups",
	"kv/watch matching.matches":  "the revision, for each of its groups",
	"kv/watch matching.previous": "the revision",
	"kv/watch revision.events":   "the revision",
	"kv/watch queue.revisions":   "Limits.PendingBytes: TestWhatAHubKeepsIsBounded",
	"kv/watch queue.spare":       "Limits.PendingBytes",
	"kv/watch taken.revisions":   "Limits.PendingBytes",
	"kv/watch cursor.ids":        "Limits.StreamWatchers: TestRefusalLeavesTheLiveWatcherAlone",
	"kv/watch Stream.watchers":   "Limits.StreamWatchers: TestRefusalLeavesTheLiveWatcherAlone",
	"kv/watch Stream.idle":       "Limits.StreamWatchers",
	"kv/watch Stream.idleList":   "Limits.StreamWatchers",
	"kv/watch Stream.ready":      "Limits.StreamWatchers: TestWatchersThatAreCanceledBeforeTheirTurnAreForgotten",
	"kv/watch Stream.asked":      "Limits.StreamWatchers",
	"kv/watch Stream.notices":    "noticesPerWatcher: TestClientThatReadsNoAnswersIsFoundOut",
	"kv/watch Output.IDs":        "Limits.StreamWatchers",
	"kv/watch Output.Batches":    "the bytes that Next may hand out: TestOutputsAreCutByBytesBetweenRevisions",
	"kv/watch pieces.recent":     "keptPieces, and Limits.allPieces: TestWhatAHubKeepsIsBounded, TestAHugeRevisionIsKeptWhileSomebodyIsBehind",
	"kv/watch piece.revisions":   "Limits.PieceBytes: TestWhatAHubKeepsIsBounded",
	"kv/watch piece.batches":     "Limits.PieceBatchBytes: TestWhatAHubKeepsIsBounded, TestABatchCountsForEachFaceThatEncodesIt",
	"kv/watch found.batches":     "the piece",

	// The store, its history, and the log.
	"kv Op.Value":              "rsm.MaxOpBytesLimit, and Limits.MaxValueBytes at the front door: TestValidate",
	"kv PutOp.Value":           "as Op.Value: TestInvalidTransactionsAreNamed",
	"kv Compare.Value":         "as Op.Value: TestInvalidTransactionsAreNamed",
	"kv Txn.If":                "rsm.MaxOpBytesLimit, and Limits.MaxTxnOps at the front door: TestInvalidTransactionsAreNamed",
	"kv Txn.Then":              "as Txn.If",
	"kv Txn.Else":              "as Txn.If",
	"kv changes.puts":          "the transaction",
	"kv changes.deletes":       "the transaction",
	"kv plan.steps":            "the transaction",
	"kv step.slots":            "maxDeleteBytes: TestWhatATransactionDeletesIsBounded",
	"kv step.value":            "planner.kept",
	"kv planner.removed":       "maxDeleteBytes: TestWhatATransactionDeletesIsBounded",
	"kv planner.leases":        "the transaction",
	"kv planner.kept":          "maxKeptBytes at the front door, run.MaxRunBytes in the log: TestPutsThatKeepTheirValueAreBounded, TestPutsThatNoRunCanHoldAreRefusedWhereTheyAreExecuted",
	"kv TxnResult.Responses":   "the transaction",
	"kv DeleteResult.Prev":     "maxResultBytes: TestResultsOfTransactionsAreBounded",
	"kv RangeResult.Entries":   "RangeOp.Limit and MaxBytes; in a transaction maxResultBytes: TestResultsOfTransactionsAreBounded",
	"kv gatherer.rows":         "RangeOp.Limit and MaxBytes, and sortedBytes: TestRowsThatAreKeptToBeSortedAreBounded, TestValuesThatAreKeptToBeSortedAreBounded, TestValuesThatAreOnlySortedByAreBounded",
	"kv gatherer.chunk":        "scanChunk",
	"kv gatherer.refs":         "gatherer.chunk, or rows",
	"kv Entry.Value":           "the record",
	"kv Result.Value":          "the record",
	"kv revisionWriter.events": "maxEvents: TestEventsOfARevisionAreBounded",
	"kv pins.at":               "the readers, each for one call: TestReadersPinWhatTheyRead",
	"kv loader.key":            "the key",
	"kv loader.older":          "the versions of a key",
	"kv Store.live":            "the runs to which the index refers: TestRunsThatAreNotLiveAreForgotten",
	"kv Store.deadDeletes":     "the runs that there are at the start",

	"kv/index hash.directory":    "the keys; the front door takes none beyond --max-index-bytes: TestMemory",
	"kv/index keys.chunks":       "the keys: TestMemoryIsUsedAgain",
	"kv/index keys.unused":       "keys.chunks",
	"kv/index keys.spare":        "keys.chunks",
	"kv/index Loader.older":      "the versions",
	"kv/index Loader.tombstones": "the keys",
	"kv/index pool.chunks":       "the versions: TestMemoryIsUsedAgain",
	"kv/index queue.chunks":      "the versions: TestAllGoesWhenAllIsDeleted",

	"kv/run Record.Key":          "maxRecord",
	"kv/run Record.Value":        "maxRecord",
	"kv/run record.raw":          "maxRecord",
	"kv/run Entry.Key":           "the record",
	"kv/run History.mu.runs":     "the history on the disk",
	"kv/run memory.free":         "maxChunk, or one record",
	"kv/run chunk.b":             "what no file has yet, and Options.CacheBytes: TestMemoryIsBounded, TestHistoryInMemoryAloneHasABound",
	"kv/run openFiles.mu.byFile": "Options.OpenFiles, and those in use: TestOpenFilesAreBounded",
	"kv/run footer.b":            "the records of a run",
	"kv/run entries.b":           "a block",
	"kv/run fileCursor.buf":      "loadBytes, over all runs",
	"kv/run memoryCursor.left":   "the records of a run in memory",
	"kv/run packed.b":            "the records of a run in memory",
	"kv/run packed.items":        "the records of a run in memory",
	"kv/run packed.shared":       "a key",
	"kv/run packed.steps":        "the records of a run in memory",
	"kv/run RecordReader.ahead":  "maxAhead, or one record: TestRecordsThatLieTogetherAreReadAtOnce",
	"kv/run reader.buf":          "pieceBytes, or one record",
	"kv/run Rewritten.old":       "state.rewriteBytes",
	"kv/run Rewritten.new":       "state.rewriteBytes",
	"kv/run Rewritten.moves":     "state.rewriteBytes",
	"kv/run Rewritten.keys":      "state.rewriteBytes",
	"kv/run rewriter.tail":       "a record",

	"state encoder.b":         "of one command, or image",
	"state decoder.b":         "of one command, or image",
	"state More.Leases":       "rsm.MaxOpBytesLimit, and logtime's Config.MaxKeepAlives",
	"state Result.TTL":        "More.Leases",
	"state deletes.clean":     "the runs",
	"state deletes.dead":      "the runs",
	"state executed.seen":     "maxNames, twice",
	"state files.work":        "1",
	"state files.fetched":     "the runs of a manifest: TestAFileThatIsToGoIsFetchedAgain",
	"state files.replaced":    "0",
	"state files.pins":        "the streams that are open, with the files of their manifests",
	"state files.pinned":      "the streams that are open",
	"state files.doomed":      "files.pins",
	"state Foundation.Leases": "Limits.Leases",
	"state Image.small":       "maxSmallStream",
	"state Machine.purging":   "1",
	"state manifest.runs":     "the history on the disk",
	"state usersNow.replaced": "0",
	"state scrubs.wanted":     "1",
	"state scrubs.suspects":   "the runs",
	"state scrubs.damaged":    "the runs",
	"state small.alarms":      "MaxAlarms",
	"state timesImage.marks":  "maxTimeMarks: TestOldTimesAreKeptCoarsely",

	"wal background.quit":      "0",
	"wal listing.segments":     "the files of the log",
	"wal listing.snapshots":    "the files of the log",
	"wal listing.temps":        "the files of the log",
	"wal liveSegments.mu.list": "the log, which is compacted: TestCompactRemovesSegments",
	"wal writer.mu.buf":        "maxFrame, and maxKeptBuffer between two batches: TestBuffersOfHugeBatchesAreNotKept",
	"wal spare.mu.zeros":       "fillStep",
	"wal spare.mu.reusable":    "maxReusable: TestFilesThatWaitAreBounded",
	"wal stamp.old":            "the sectors of a segment",
	"wal frame.masked":         "the segment",
	"wal replay.entries":       "the log",
	"wal replay.segments":      "the log",
	"wal snapshotWriter.buf":   "one chunk",
	"wal snapshotReader.chunk": "one chunk",
	"wal snapshotReader.buf":   "one chunk",

	"api RequestBatch.Requests":                "maxBatchRequests: TestBatchOfTooManyRequestsIsRefused, TestDecodersAllocateLittle",
	"api Request.Key":                          "the batch",
	"api Request.Value":                        "the batch",
	"api ReplyBatch.Replies":                   "maxBatchReplies: TestBatchOfTooManyRepliesIsRefused, TestDecodersAllocateLittle",
	"api Reply.Value":                          "the batch",
	"api UsersReply.Users":                     "auth.MaxBytes",
	"api UsersReply.Roles":                     "auth.MaxBytes",
	"api UserReply.Roles":                      "auth.MaxRoles",
	"api RoleReply.Permissions":                "auth.MaxPermissions",
	"api UsersChange.PasswordHash":             "the message, and auth.maxHashBytes",
	"api Hello.Members":                        "maxBatchParts, and clerk.maxServers of them are kept: TestRouteIsBounded",
	"api Member.ClientUrls":                    "the members, and maxReplyBatch",
	"api Member.PeerUrls":                      "the members, and maxReplyBatch",
	"api MembersChange.ClientUrls":             "the members, and maxReplyBatch",
	"api MembersChange.PeerUrls":               "the members, and maxReplyBatch",
	"api AlarmsReply.Alarms":                   "state.MaxAlarms, and that of the quota",
	"api MembersReply.Members":                 "the members, and maxReplyBatch",
	"clerk Member.ClientURLs":                  "the reply, or the caller",
	"clerk Member.PeerURLs":                    "the reply, or the caller",
	"clerk MemberChange.ClientURLs":            "the reply, or the caller",
	"clerk MemberChange.PeerURLs":              "the reply, or the caller",
	"clerk Members.All":                        "maxReplyBatch",
	"internal/frontend/native heralds.changed": "0",
	"internal/frontend/native news.c":          "0",
	"api Leader.ClientUrls":                    "maxBatchParts: TestDecodersAllocateLittle",
	"api Span.From":                            "the batch",
	"api Span.To":                              "the batch",
	"api Put.Key":                              "the batch",
	"api Put.Value":                            "the batch",
	"api Txn.Compares":                         "maxBatchParts: TestDecodersAllocateLittle",
	"api Txn.Then":                             "maxBatchParts: TestDecodersAllocateLittle, TestNestingIsBounded",
	"api Txn.Else":                             "maxBatchParts: TestDecodersAllocateLittle",
	"api Compare.Value":                        "the batch",
	"api Entry.Key":                            "the batch",
	"api Entry.Value":                          "the batch",
	"api RangeReply.Entries":                   "maxBatchParts: TestDecodersAllocateLittle",
	"api TxnReply.Replies":                     "maxBatchParts: TestDecodersAllocateLittle",
	"api DeleteRangeReply.Prev":                "maxBatchParts: TestDecodersAllocateLittle",
	"api LeaseReply.Keys":                      "maxBatchParts: TestDecodersAllocateLittle",
	"api LeasesReply.Ids":                      "maxBatchParts: TestDecodersAllocateLittle",
	"api StatusReply.Alarms":                   "maxReplyBatch",
	"api StatusReply.Certificates":             "maxReplyBatch",
	"api Work.SyncTimes":                       "maxReplyBatch",
	"api StatusReply.Peers":                    "the members, and maxReplyBatch",
	"api Peer.ClientUrls":                      "the configuration, and maxReplyBatch",
	"api field.bytes":                          "the batch",

	"api Page.encoded":             "the batch that it came in, or a page of MaxPageBytes",
	"api Page.last":                "a part of Page.encoded",
	"api PageEntry.Key":            "as Page.encoded",
	"api PageEntry.Value":          "as Page.encoded",
	"api Reply_EncodedRange.Range": "as Page.encoded",
	"api Lease.Others":             "maxBatchParts: TestDecodersAllocateLittle",
	"api LeaseReply.OthersTtlMs":   "maxBatchParts: TestDecodersAllocateLittle",

	// Keep-alives that share a request.
	"clerk renewals.waiting":           "the callers of KeepAlive",
	"clerk renewed.send":               "maxLeasesAtOnce: TestKeepAlivesShareRequests",
	"clerk renewal.told":               "1",
	"internal/replica keepAlives.ttls": "translate.MaxKeepAlives",

	// The dashboard.
	"internal/frontend/ui handler.lookers":     "maxLookers: TestOverviewsEndWhenTheServerStops",
	"internal/frontend/ui tickets.all":         "maxTickets: TestABackupIsDownloadedOnce",
	"internal/frontend/ui Config.Stopping":     "0",
	"internal/frontend/ui Overview.Members":    "the members",
	"internal/frontend/ui Overview.Notes":      "the members, and what each says of itself",
	"internal/frontend/ui Member.Peers":        "the members",
	"internal/frontend/ui Member.Clients":      "the members",
	"internal/frontend/ui Report.Alarms":       "transport.MaxCall",
	"internal/frontend/ui Report.Certificates": "transport.MaxCall",
	"internal/frontend/ui Report.Points":       "metrics.MaxPoints: TestPointsAreBounded",
	"internal/frontend/ui Change.Peers":        "maxRequest: TestCallsReachTheCluster",
	"internal/frontend/ui Outlook.Before":      "the members",
	"internal/frontend/ui Outlook.After":       "the members",
	"internal/frontend/ui Outlook.Silent":      "the members",
	"internal/metrics Recent.points":           "MaxPoints: TestPointsAreBounded",
	"internal/server dashboard.reports":        "the members",
	"internal/server heard.points":             "metrics.MaxPoints: TestPointsAreBounded",
	"internal/server backupCall.requests":      "0",
	"internal/server backupCall.replies":       "0",
	"internal/server backupCall.ended":         "0",
	"internal/server backupFile.rest":          "a message",
	"member Outlook.Before":                    "the members",
	"member Outlook.After":                     "the members",
	"member Outlook.Silent":                    "the members",
	"member request.Question":                  "transport.MaxCall",
	"member answer.Text":                       "transport.MaxCall",

	// The etcd API.
	"internal/frontend/etcd/translate Member.ClientURLs":       "the configuration",
	"internal/frontend/etcd/translate Member.PeerURLs":         "the configuration",
	"internal/frontend/etcd/translate Status.Corrupt":          "the members",
	"internal/frontend/etcd/translate Status.Raised":           "state.MaxAlarms",
	"internal/frontend/etcd/translate historyHash.buf":         "one entry",
	"internal/frontend/etcd/translate WatchSession.creating":   "watch.Stream.notices: TestReceiverOfWatchesWaitsForNoSender",
	"internal/frontend/etcd/translate WatchSession.live":       "watch.Limits.StreamWatchers",
	"internal/frontend/etcd/translate WatchSession.recipients": "watch.Limits.StreamWatchers",
	"internal/frontend/etcd/translate WatchMessage.common":     "a header and a reason",
	"internal/frontend/etcd/translate WatchMessage.own":        "a header and a reason",
	"internal/frontend/etcd/translate WatchMessage.events":     "watching.MaxBytes, or one revision: TestRevisionIsInOneResponseUnlessFragmentsAreAsked",
	"internal/frontend/etcd/translate Message.wire":            "maxResponseBytes",
	"internal/frontend/etcd watchStream.changed":               "0",
	"internal/frontend/etcd Watches.Stopping":                  "0",
}

// TestWhatStrangersFeedIsBounded finds each list and demands that it is among bounds.
func TestWhatStrangersFeedIsBounded(t *testing.T) {
	found, tests, packages := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for name := range bounds {
		pkg, _, _ := strings.Cut(name, " ")
		packages[pkg] = true
	}
	for pkg := range packages {
		if err := survey(os.DirFS("."), pkg, found, tests); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if bounds[name] == "" {
			t.Errorf("%s may grow: say in bounds what keeps it from that", name)
		}
	}
	for name, bound := range bounds {
		if !found[name] {
			t.Errorf("there is no list %s", name)
		}
		for _, shown := range regexp.MustCompile(`\b(Test|Fuzz)\w+`).FindAllString(bound, -1) {
			if !tests[shown] {
				t.Errorf("%s: there is no %s", name, shown)
			}
		}
	}
}

// survey adds the fields of a package's structs that can grow, and the names of its tests.
func survey(root fs.FS, pkg string, fields, tests map[string]bool) error {
	files, err := fs.Glob(root, path.Join(pkg, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range files {
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		isTest := strings.HasSuffix(name, "_test.go")
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				tests[d.Name.Name] = true
			case *ast.GenDecl:
				if !isTest {
					growing(pkg, d, fields)
				}
			}
		}
	}
	return nil
}

// growing adds those fields of the structs that a declaration makes.
func growing(pkg string, d *ast.GenDecl, fields map[string]bool) {
	for _, spec := range d.Specs {
		typ, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		of, ok := typ.Type.(*ast.StructType)
		if !ok {
			continue
		}
		growingIn(pkg+" "+typ.Name.Name, of, fields)
	}
}

// growingIn adds those of one struct, and of the structs without a name that are in it.
func growingIn(name string, of *ast.StructType, fields map[string]bool) {
	for _, f := range of.Fields.List {
		for _, field := range f.Names {
			switch kind := f.Type.(type) {
			case *ast.ArrayType:
				if kind.Len == nil {
					fields[name+"."+field.Name] = true
				}
			case *ast.MapType, *ast.ChanType:
				fields[name+"."+field.Name] = true
			case *ast.StructType:
				growingIn(name+"."+field.Name, kind, fields)
			}
		}
	}
}
