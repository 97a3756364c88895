/**
 * Every configuration key of the broker, declared once: name, type, unit, default, limits, one sentence.
 *
 * The parser, the effective print-out, the nearest-name hint and the checks all come from this table. Names are Apache's
 * where Apache has the key; defaults too, but for those marked "ours". Keys that Apache knows and that change nothing here are
 * listed in `IGNORED_KEYS`, so a file written for Apache's broker is read without being called wrong.
 */
export type KeyType = 'int' | 'boolean' | 'text' | 'choice'

export interface KeyDeclaration<Value> {
  readonly type: KeyType
  readonly default: Value
  /** Unit of an int, for people: `ms`, `bytes`, `hours`, … */
  readonly unit?: string
  readonly min?: number
  readonly max?: number
  readonly choices?: readonly string[]
  readonly what: string
  /** The value is not shown. */
  readonly isSecret?: boolean
}

interface IntLimits {
  readonly min: number
  readonly max: number
  readonly unit?: string
}

const INT32_MAX = 0x7fffffff
const BYTES_MAX = 2 ** 40
/** The largest buffer of Node.js 20. */
const BUFFER_BYTES_MAX = 2 ** 32

const int = (value: number, limits: IntLimits, what: string): KeyDeclaration<number> => ({
  type: 'int',
  default: value,
  ...limits,
  what,
})
const ms = (value: number, min: number, max: number, what: string) => int(value, { min, max, unit: 'ms' }, what)
const bytes = (value: number, min: number, max: number, what: string) => int(value, { min, max, unit: 'bytes' }, what)
const boolean = (value: boolean, what: string): KeyDeclaration<boolean> => ({ type: 'boolean', default: value, what })
const text = (value: string, what: string): KeyDeclaration<string> => ({ type: 'text', default: value, what })
const secret = (what: string): KeyDeclaration<string> => ({ type: 'text', default: '', what, isSecret: true })
const choice = <const Choice extends string>(
  value: NoInfer<Choice>,
  choices: readonly Choice[],
  what: string,
): KeyDeclaration<Choice> => ({
  type: 'choice',
  default: value,
  choices,
  what,
})

/** An empty default of `brokerName`, `brokerIP1` and the paths stands for what the machine gives; see `config.ts`. */
export const CONFIG_KEYS = {
  brokerClusterName: text('DefaultCluster', 'The cluster this broker belongs to; also a system topic of that name.'),
  brokerName: text('', 'The name shared by all members of one group; the host name when absent.'),
  listenPort: int(
    10911,
    { min: 0, max: 65535 },
    'Port for clients; listenPort - 2 is opened too. 0 lets the system choose.',
  ),
  bindAddress: text('0.0.0.0', 'Address to listen on (ours).'),
  brokerIP1: text('', 'Address that clients are told; the first address that is not loopback when absent.'),
  namesrvAddr: text('', 'Name servers, host:port separated by semicolons; the broker registers with all of them.'),
  brokerPermission: int(6, { min: 0, max: 7 }, 'What clients may do with this broker: 4 read, 2 write.'),
  defaultTopicQueueNums: int(8, { min: 1, max: 1024 }, 'Queues of TBW102, the most an automatic topic gets.'),
  autoCreateTopicEnable: boolean(true, 'A send to an unknown topic creates it.'),
  autoCreateSubscriptionGroup: boolean(true, 'An unknown consumer group is created when it first appears.'),
  clusterTopicEnable: boolean(true, 'The topic named after the cluster may be used by clients.'),
  brokerTopicEnable: boolean(true, 'The topic named after the broker may be used by clients.'),
  traceTopicEnable: boolean(false, 'The trace topic is created at start.'),
  msgTraceTopicName: text('RMQ_SYS_TRACE_TOPIC', 'Name of the trace topic.'),
  storeReplyMessageEnable: boolean(true, 'Answers of consumers to requests (request-reply) are stored, too.'),
  regionId: text('DefaultRegion', 'MSG_REGION of stored messages.'),
  traceOn: boolean(true, 'TRACE_ON of stored messages: clients may trace them.'),
  registerNameServerPeriod: ms(30_000, 10_000, 60_000, 'Time between registrations with the name servers.'),
  registerBrokerTimeoutMills: ms(24_000, 100, 60_000, 'A registration without an answer for so long has failed.'),
  channelExpiredTimeout: ms(120_000, 1_000, INT32_MAX, 'A client silent for so long is forgotten.'),
  validateSystemTopicWhenUpdateTopic: boolean(true, 'Creating a topic with the name of a system topic is refused.'),

  enableMixedMessageType: boolean(false, 'A topic may be made for every type of message (message.type=MIXED).'),
  clearRetryTopicWhenDeleteTopic: boolean(true, 'Retry topics of popped messages go with their topic.'),

  longPollingEnable: boolean(true, 'A pull that finds nothing is held for as long as the client asked.'),
  shortPollingTimeMills: ms(1_000, 1, 60_000, 'How long a pull is held when longPollingEnable is false.'),
  notifyConsumerIdsChangedEnable: boolean(true, 'Consumers are told at once when their group changes.'),
  enablePropertyFilter: boolean(true, 'Consumers may filter by SQL92 expressions over properties (Apache: false).'),
  filterSupportRetry: boolean(
    false,
    "An expression on a retry topic is that of the group's subscription to the topic that the message came from.",
  ),
  slaveReadEnable: boolean(true, 'Followers serve pulls, and a busy leader may send consumers there (Apache: false).'),
  useServerSideResetOffset: boolean(
    true,
    'A tool that moves the offsets of a group moves them here, consumers online or not; false: it tells those that are online.',
  ),
  litePullMessageEnable: boolean(true, 'Request 361 is served.'),
  rejectPullConsumerEnable: boolean(false, 'Consumers that pull by themselves are refused.'),
  serverLoadBalancerEnable: boolean(true, 'Request 400 assigns queues; false returns all of them.'),
  defaultMessageRequestMode: choice(
    'PULL',
    ['PULL', 'POP'],
    'How request 400 tells clients to get messages, where nobody has said so for their topic and group.',
  ),
  defaultPopShareQueueNum: int(
    -1,
    { min: -1, max: 1_000_000 },
    'With POP by default: how many more clients share the queues of each; -1: each pops all queues.',
  ),
  popPollingSize: int(
    1_024,
    { min: 0, max: 1_000_000 },
    'Pops of one group that wait for messages of one queue, or of all, at most; beyond: 209.',
  ),
  maxPopPollingSize: int(100_000, { min: 0, max: 1_000_000 }, 'Pops that wait at most, of all groups; beyond: 209.'),
  enableRetryTopicV2: boolean(
    false,
    'What comes again because it was popped and not acknowledged goes to %RETRY%group+topic, not to %RETRY%group_topic.',
  ),
  retrieveMessageFromPopRetryTopicV1: boolean(
    true,
    'With enableRetryTopicV2, pops still give what is in %RETRY%group_topic.',
  ),
  popFromRetryProbability: int(
    20,
    { min: 0, max: 100, unit: '%' },
    'How many pops look first at what comes again; the others last.',
  ),

  storePathRootDir: text('', 'Directory of all that is stored; ~/store when absent.'),
  storePathCommitLog: text('', 'Directory of the log; commitlog under storePathRootDir when absent.'),
  mappedFileSizeCommitLog: bytes(
    1_073_741_824,
    65_536,
    1_073_741_824,
    'Size of one log file, fixed when the group is created.',
  ),
  mappedFileSizeConsumeQueue: bytes(6_000_000, 20, 1_073_741_820, 'Size of one ConsumeQueue file, a multiple of 20.'),
  messageIndexEnable: boolean(true, 'Messages can be found by key and unique id.'),
  maxHashSlotNum: int(5_000_000, { min: 1, max: 500_000_000 }, 'Hash slots of one index file; 4 bytes of memory each.'),
  maxIndexNum: int(20_000_000, { min: 2, max: 100_000_000 }, 'Entries of one index file, of 20 bytes.'),
  defaultQueryMaxNum: int(32, { min: 1, max: 1_000 }, 'Messages that a query by unique id gives at most.'),
  maxMsgsNumBatch: int(64, { min: 1, max: 1_000 }, 'Messages that a query by key gives at most, whatever it asks for.'),
  flushDiskType: choice(
    'SYNC_FLUSH',
    ['SYNC_FLUSH', 'ASYNC_FLUSH'],
    'When a write counts: synced, or in the page cache (Apache: ASYNC_FLUSH).',
  ),
  fileReservedTime: int(
    72,
    { min: 1, max: 876_000, unit: 'hours' },
    'Log files last written longer ago go, in the hours of deleteWhen or when the disk is filling.',
  ),
  deleteWhen: text('04', 'Hours of the day, local time, separated by semicolons, in which old log files go.'),
  diskMaxUsedSpaceRatio: int(
    75,
    { min: 1, max: 100, unit: '%' },
    'From so full a disk on, the fullest of the group, old log files go at any hour; 10 to 95 counts.',
  ),
  diskSpaceCleanForciblyRatio: int(
    85,
    { min: 1, max: 100, unit: '%' },
    'From so full a disk on the oldest log file goes, however young it is; 30 to 85 counts.',
  ),
  diskSpaceWarningLevelRatio: int(
    90,
    { min: 1, max: 100, unit: '%' },
    'With more of the disk in use nothing is stored (14), until less is; reads go on. From 35 on; 100: never so.',
  ),
  cleanFileForciblyEnable: boolean(true, 'False: no log file goes by diskSpaceCleanForciblyRatio.'),
  retentionBytes: bytes(0, 0, 2 ** 50, 'Log files go, oldest first, as long as the log has more; 0: no limit (ours).'),
  retainForLaggingBytes: bytes(
    4_294_967_296,
    0,
    2 ** 50,
    'What a follower that answers still lacks is kept for it up to this; one that lacks more is given files (ours).',
  ),
  flushIntervalCommitLog: ms(500, 1, 60_000, 'Time between syncs under ASYNC_FLUSH.'),
  brokerRole: choice(
    '',
    ['', 'ASYNC_MASTER', 'SYNC_MASTER', 'SLAVE'],
    'A master that slaves may copy, and when its sends are answered; or a slave. Not where enableDLegerCommitLog is true. Absent: nobody copies this broker (Apache: ASYNC_MASTER).',
  ),
  brokerId: int(
    0,
    { min: -1, max: INT32_MAX },
    'Of a slave: what it is listed under, from 1 on, another one for each slave; masters are 0.',
  ),
  brokerIP2: text('', 'Where a master and its slaves reach each other; brokerIP1 when absent.'),
  haListenPort: int(0, { min: 0, max: 65535 }, 'The port for that, of a master and of a slave; 0: listenPort + 1.'),
  inSyncReplicas: int(
    2,
    { min: 1, max: 9 },
    'SYNC_MASTER: a send is answered when so many brokers have it, the master counted; 1 counts as 2 (Apache: 1).',
  ),
  slaveTimeout: ms(
    3_000,
    1,
    600_000,
    'SYNC_MASTER: after this a send that slaves have not confirmed is answered with 12; it is stored.',
  ),
  haMaxGapNotInSync: bytes(
    268_435_456,
    1,
    BYTES_MAX,
    'SYNC_MASTER: slaves that lack more count as none; with too few a send is answered with 11 at once; it is stored.',
  ),
  maxMessageSize: bytes(4_194_304, 1_024, 16_000_000, 'Largest body of a message or a batch.'),
  maxTransferBytesOnMessageInMemory: bytes(
    262_144,
    1_024,
    16_000_000,
    'Most bytes in one answer to a pull of recent messages.',
  ),
  maxTransferCountOnMessageInMemory: int(
    32,
    { min: 1, max: 1_024, unit: 'messages' },
    'Most messages in one answer to a pull of recent messages.',
  ),
  maxTransferBytesOnMessageInDisk: bytes(65_536, 1_024, 16_000_000, 'The same for messages that are further behind.'),
  maxTransferCountOnMessageInDisk: int(
    8,
    { min: 1, max: 1_024, unit: 'messages' },
    'The same for messages that are further behind.',
  ),
  accessMessageInMemoryMaxRatio: int(
    40,
    { min: 1, max: 95, unit: '%' },
    'Share of memory whose worth of newest messages counts as recent.',
  ),
  messageDelayLevel: text(
    '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h',
    'The delay of each level, from level 1 on.',
  ),
  duplicateSendWindowMs: ms(
    0,
    0,
    604_800_000,
    'A send whose topic and unique id were stored within this span gets the answer of the first one; 0: off (ours).',
  ),
  duplicateSendIdsMax: int(
    1_048_576,
    { min: 1, max: 16_777_216, unit: 'messages' },
    'Sends that the window recognises at most, 32 to 36 bytes of memory each; beyond, the oldest go early (ours).',
  ),
  timerWheelEnable: boolean(true, 'Messages may be delayed by any time.'),
  timerMaxDelaySec: int(259_200, { min: 1, max: 31_536_000, unit: 's' }, 'The longest such delay.'),
  timerPrecisionMs: ms(100, 1, 60_000, 'Such a message comes at most so much late.'),
  recallMessageEnable: boolean(false, 'Producers may call such a message back before its time (370).'),
  allowRecallWhenBrokerNotWriteable: boolean(true, 'That, too, where brokerPermission has no write.'),
  rejectTransactionMessage: boolean(false, 'Messages of transactions are refused.'),
  transactionTimeOut: ms(
    6_000,
    1,
    INT32_MAX,
    'From this age on a half message is asked for; CHECK_IMMUNITY_TIME_IN_SECONDS of its own wins.',
  ),
  transactionCheckInterval: ms(30_000, 100, INT32_MAX, 'Time between two questions for one half message.'),
  transactionCheckMax: int(
    15,
    { min: 1, max: INT32_MAX },
    'Asked for so often without an answer, a half message is given up: it goes to TRANS_CHECK_MAX_TIME_TOPIC.',
  ),

  enableDLegerCommitLog: boolean(false, 'This broker is a member of a replicated group (Apache spells it so).'),
  dLegerGroup: text('', 'Name of the group; brokerName when absent.'),
  dLegerPeers: text('', 'The members that found the group: ID-HOST:PORT separated by semicolons.'),
  dLegerSelfId: text('', 'Which of dLegerPeers this broker is; n0 for a group of one.'),
  preferredLeaderId: text('', 'The member that leads whenever it is up, well and level; none when empty.'),
  raftTickMs: ms(50, 1, 1_000, 'One step of the clock of Raft (ours).'),
  raftHeartbeatMs: ms(100, 1, 10_000, 'Time between heartbeats of the leader (ours).'),
  raftElectionTimeoutMs: ms(
    500,
    10,
    60_000,
    'Least silence of a leader that starts an election; at most twice this (ours).',
  ),
  raftStorageSlowMs: ms(
    5_000,
    1,
    3_600_000,
    'A leader whose disk has not ended a write, sync or read for so long steps down; it hands over after an election timeout (ours).',
  ),
  raftStorageHangMs: ms(
    30_000,
    1,
    3_600_000,
    'A write, sync or read under way for so long has failed: the broker stops (ours).',
  ),
  diskFreeBytesMin: bytes(
    67_108_864,
    0,
    BYTES_MAX,
    'With less free on its file system a leader refuses sends; 0: not looked at (ours).',
  ),
  diskReserveBytes: bytes(
    67_108_864,
    0,
    BYTES_MAX,
    'Room taken on the disk beyond that, and given when it is full for what frees more; 0: none (ours).',
  ),
  scrubBytesPerSecond: bytes(
    4_194_304,
    0,
    BYTES_MAX,
    'What is read a second of closed log files to find damage; 0: whoever reads it finds it (ours).',
  ),
  catchUpBytesPerSecond: bytes(
    134_217_728,
    0,
    BYTES_MAX,
    'What all followers that catch up from disk get together; 0: as much as they take (ours).',
  ),
  hotBytesMax: bytes(
    16_777_216,
    0,
    BUFFER_BYTES_MAX,
    'Newest messages that are answered from memory; taken as they come, and kept for the next ones (ours).',
  ),
  assumeIntact: boolean(
    false,
    'After a power cut under ASYNC_FLUSH this member counts at once, though it may lack what it acknowledged (ours).',
  ),
  shutdownLingerMs: ms(3_000, 0, 60_000, 'How long a broker that stops goes on forwarding to the new leader (ours).'),
  authenticationEnabled: boolean(false, 'Requests must be signed by a user that is known here.'),
  authorizationEnabled: boolean(false, 'And that user must be allowed to what they ask for.'),
  authenticationWhitelist: text('', 'Codes of requests, separated by commas, that need no signature.'),
  authorizationWhitelist: text('', 'Codes of requests, separated by commas, that need no permission.'),
  initAuthenticationUser: secret(
    'A super user that is made unless there is one of its name: {"username":"…","password":"…"}.',
  ),
  innerClientAuthenticationCredentials: secret(
    'What this broker signs its own requests with, made a super user in the same way: {"accessKey":"…","secretKey":"…"}.',
  ),
  aclEnable: boolean(
    false,
    'The switch of ACL 1.0: true is refused unless the two above are on, which do its work, so that nothing stands open by mistake.',
  ),
  migrateAuthFromV1Enabled: boolean(
    false,
    'Accounts of plain_acl.yml and conf/acl of 4.x become users and policies, unless there is a user of that name.',
  ),
  rocketmqHome: text('', 'Where those files are; mqbroker takes the environment variable ROCKETMQ_HOME when absent.'),
  'rocketmq.acl.plain.file': text('conf/plain_acl.yml', 'The first of them, below rocketmqHome.'),
  'tls.server.mode': choice(
    'permissive',
    ['disabled', 'permissive', 'enforcing'],
    'What all ports take: plain connections only, both, TLS only. Permissive without a certificate: plain only.',
  ),
  'tls.server.keyPath': text('', 'Private key in PEM, for tls.server.certPath.'),
  'tls.server.keyPassword': secret('Opens that key where it is encrypted.'),
  'tls.server.certPath': text('', 'Certificate in PEM, followed by those that signed it.'),
  'tls.server.trustCertPath': text(
    '',
    'Certificates in PEM of those who sign for clients; with them, members are let in with a certificate only.',
  ),
  'tls.server.need.client.auth': choice(
    'none',
    ['none', 'optional', 'require'],
    'Whether clients are asked for a certificate, and not let in without one.',
  ),
  'tls.server.authClient': boolean(false, 'A certificate that a client shows is checked.'),
  'tls.server.handshakesPerSecond': int(
    250,
    { min: 1, max: 100_000 },
    'TLS handshakes that begin on each port; more wait, by address in turn (ours).',
  ),
  'tls.enable': boolean(false, 'What this broker dials is dialed with TLS: name servers, other brokers, members.'),
  'tls.client.keyPath': text('', 'Private key in PEM, for tls.client.certPath.'),
  'tls.client.keyPassword': secret('Opens that key where it is encrypted.'),
  'tls.client.certPath': text('', 'Certificate shown to what is dialed; that of tls.server.certPath when absent.'),
  'tls.client.trustCertPath': text('', 'Certificates in PEM of those who sign for what is dialed.'),
  'tls.client.authServer': boolean(
    false,
    'The certificate of what is dialed is checked, by tls.client.trustCertPath or by public authorities.',
  ),
  'tls.test.mode.enable': boolean(
    false,
    'Without tls.server.certPath a certificate is made up that nobody can check (Apache: true).',
  ),
  'tls.config.file': text(
    '/etc/rocketmq/tls.properties',
    'Where it is there, the tls keys in it count instead of those here.',
  ),
  metricsPromExporterPort: int(5557, { min: 0, max: 65535 }, 'Port of /metrics, /health and /status.'),
  metricsPromExporterHost: text('127.0.0.1', 'Address of /metrics, /health and /status.'),
} as const

/** Keys of Apache's broker that are accepted and change nothing here. */
export const IGNORED_KEYS: readonly string[] = [
  'maxFilterMessageSize',
  'haSendHeartbeatInterval',
  'haHousekeepingInterval',
  'forceRegister',
  'compressedRegister',
  'brokerHeartbeatInterval',
  'transactionOpMsgMaxSize',
  'transactionOpBatchInterval',
  'flushConsumerOffsetInterval',
  'enableCalcFilterBitMap',
  'enableBroadcastOffsetStore',
  'brokerFastFailureEnable',
  'waitTimeMillsInSendQueue',
  'waitTimeMillsInPullQueue',
  'waitTimeMillsInHeartbeatQueue',
  'waitTimeMillsInTransactionQueue',
  'sendThreadPoolQueueCapacity',
  'pullThreadPoolQueueCapacity',
  'sendMessageThreadPoolNums',
  'pullMessageThreadPoolNums',
  'reviveQueueNum',
  'flushIntervalConsumeQueue',
  'syncFlushTimeout',
  'putMessageTimeout',
  'flushDelayOffsetInterval',
  'osPageCacheBusyTimeOutMills',
  'transientStorePoolEnable',
  'checkCRCOnRecover',
  'duplicationEnable',
  'offsetCheckInSlave',
  'enableConsumeQueueExt',
  'enableLmq',
  'enableMultiDispatch',
  'totalReplicas',
  'enableBatchPush',
  'authenticationProvider',
  'authenticationMetadataProvider',
  'authenticationStrategy',
  'authorizationProvider',
  'authorizationMetadataProvider',
  'authorizationStrategy',
  'authConfigPath',
  'userCacheMaxNum',
  'userCacheExpiredSecond',
  'userCacheRefreshSecond',
  'aclCacheMaxNum',
  'aclCacheExpiredSecond',
  'aclCacheRefreshSecond',
  'statefulAuthenticationCacheMaxNum',
  'statefulAuthenticationCacheExpiredSecond',
  'statefulAuthorizationCacheMaxNum',
  'statefulAuthorizationCacheExpiredSecond',
  'metricsExporterType',
]

export type ConfigKey = keyof typeof CONFIG_KEYS
type ValueOf<Declaration> = Declaration extends KeyDeclaration<infer Value> ? Value : never
/** The value of every key, as read. */
export type ConfigValues = { readonly [Key in ConfigKey]: ValueOf<(typeof CONFIG_KEYS)[Key]> }
