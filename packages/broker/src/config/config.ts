/**
 * The broker's configuration: read once, checked as a whole, frozen, passed down.
 *
 * Input is the plain text of a properties file, already split into keys and values. A bad value is an error that names the
 * key, the value and what is allowed; an unknown key is a warning with the nearest known one. Nothing here touches the
 * machine: what the machine gives (home directory, host name, address) is an argument.
 */
import { CodedError, nearestName } from '@dledger-ts/base'
import { accessKeyFault } from './access-keys.ts'
import { CONFIG_KEYS, type ConfigKey, type ConfigValues, IGNORED_KEYS, type KeyDeclaration } from './keys.ts'
import { memberNumber, parsePeers, type Peer } from './peers.ts'
import { parseHours } from './retention-keys.ts'

/** What the machine gives where a key is absent. */
export interface ConfigEnvironment {
  readonly homeDirectory: string
  readonly hostName: string
  /** First address that is not loopback, or 127.0.0.1. */
  readonly address: string
}

export interface BrokerConfig extends ConfigValues {
  /** The members that found the group, this one included; empty for a group of one. */
  readonly peers: readonly Peer[]
  readonly selfId: string
  readonly group: string
  /** Broker id of this member while it does not lead. */
  readonly slaveId: number
  /** A master that slaves may copy, or a slave; null: a group of one that nobody copies, or one that elects. */
  readonly classic: 'master' | 'slave' | null
  readonly namesrvAddresses: readonly string[]
}

export type ConfigErrorDetail = { readonly code: 'INVALID_CONFIG'; readonly key: string; readonly value: string }
export class ConfigError extends CodedError<ConfigErrorDetail> {}

export interface ParsedConfig {
  readonly config: BrokerConfig
  /** Lines for people: unknown keys, keys without effect. */
  readonly warnings: readonly string[]
}

const HIDDEN = '******'

/** Bytes that a record needs at most beyond its body: fixed fields, topic, properties, and the log's header and end mark. */
const RECORD_OVERHEAD_BYTES = 91 + 24 + 255 + 32_767 + 48 + 8

/** @throws ConfigError that names the first bad key, its value, and what is allowed. */
export function parseConfig(input: Readonly<Record<string, string>>, environment: ConfigEnvironment): ParsedConfig {
  const values: Record<string, string | number | boolean> = {}
  for (const [key, declaration] of declarations()) {
    const given = input[key]
    values[key] = given === undefined ? declaration.default : parseValue(key, given.trim(), declaration)
  }
  // Each value was parsed by the declaration from which its type is derived.
  const config = complete(values as unknown as ConfigValues, environment)
  checkWhole(config)
  return { config: Object.freeze(config), warnings: warningsFor(input) }
}

/** The effective configuration as `key=value` lines, in the order of the table; without its secrets. */
export function printConfig(config: BrokerConfig): string {
  let out = ''
  for (const [key, { isSecret }] of declarations()) {
    out += `${key}=${isSecret === true && config[key] !== '' ? HIDDEN : String(config[key])}\n`
  }
  return out
}

/** The documentation of every key: one line each. */
export function describeKeys(): string {
  let out = ''
  for (const [key, declaration] of declarations()) {
    out += `${key} (${allowed(declaration)}; default ${JSON.stringify(declaration.default)}): ${declaration.what}\n`
  }
  return out
}

function declarations(): [ConfigKey, KeyDeclaration<string | number | boolean>][] {
  // Object.entries forgets the key type; the table has no other keys.
  return Object.entries(CONFIG_KEYS) as [ConfigKey, KeyDeclaration<string | number | boolean>][]
}

/** @throws ConfigError */
export function parseKey(key: ConfigKey, text: string): string | number | boolean {
  return parseValue(key, text, CONFIG_KEYS[key])
}

function parseValue(
  key: string,
  value: string,
  declaration: KeyDeclaration<string | number | boolean>,
): string | number | boolean {
  switch (declaration.type) {
    case 'text':
      return value
    case 'boolean': {
      const lower = value.toLowerCase()
      if (lower !== 'true' && lower !== 'false') throw invalid(key, value, allowed(declaration))
      return lower === 'true'
    }
    case 'choice':
      if (declaration.choices?.includes(value) !== true) throw invalid(key, value, allowed(declaration))
      return value
    case 'int': {
      const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN
      if (!(number >= (declaration.min ?? -Infinity) && number <= (declaration.max ?? Infinity))) {
        throw invalid(key, value, allowed(declaration))
      }
      return number
    }
  }
}

function allowed(declaration: KeyDeclaration<string | number | boolean>): string {
  switch (declaration.type) {
    case 'text':
      return 'text'
    case 'boolean':
      return 'true or false'
    case 'choice':
      return (declaration.choices ?? []).filter((each) => each !== '').join(', ')
    case 'int': {
      const unit = declaration.unit === undefined ? '' : ` ${declaration.unit}`
      return `a whole number from ${declaration.min ?? 0} to ${declaration.max ?? 0}${unit}`
    }
  }
}

function invalid(key: string, value: string, what: string): ConfigError {
  return new ConfigError(`${key}=${value}: allowed is ${what}`, { code: 'INVALID_CONFIG', key, value })
}

function complete(values: ConfigValues, environment: ConfigEnvironment): BrokerConfig {
  const storePathRootDir = withHome(values.storePathRootDir || '~/store', environment)
  const brokerName = values.brokerName || environment.hostName
  const peers = values.enableDLegerCommitLog ? parsePeers(values.dLegerPeers) : []
  if (typeof peers === 'string') throw invalid('dLegerPeers', values.dLegerPeers, `ID-HOST:PORT;…, but ${peers}`)
  const selfId = values.dLegerSelfId || 'n0'
  const classic = classicRole(values)
  const brokerIP1 = values.brokerIP1 || environment.address
  return {
    ...values,
    brokerName,
    brokerIP1,
    brokerIP2: values.brokerIP2 || brokerIP1,
    storePathRootDir,
    storePathCommitLog: withHome(values.storePathCommitLog || `${storePathRootDir}/commitlog`, environment),
    dLegerGroup: values.dLegerGroup || brokerName,
    dLegerSelfId: selfId,
    peers,
    selfId,
    group: values.dLegerGroup || brokerName,
    slaveId: classic === 'slave' ? values.brokerId : memberNumber(selfId) + 1,
    classic,
    namesrvAddresses: parseAddresses(values.namesrvAddr),
  }
}

function classicRole({ brokerRole, enableDLegerCommitLog }: ConfigValues): BrokerConfig['classic'] {
  if (enableDLegerCommitLog || brokerRole === '') return null
  return brokerRole === 'SLAVE' ? 'slave' : 'master'
}

function withHome(path: string, environment: ConfigEnvironment): string {
  return path === '~' || path.startsWith('~/') ? environment.homeDirectory + path.slice(1) : path
}

function parseAddresses(text: string): string[] {
  const addresses: string[] = []
  for (const part of text.split(/[;,]/)) {
    const address = part.trim()
    if (address === '') continue
    const port = address.slice(address.lastIndexOf(':') + 1)
    if (!/^.+:\d{1,5}$/.test(address) || Number(port) < 1 || Number(port) > 65535) {
      throw invalid('namesrvAddr', text, `host:port;host:port, but '${address}' is not`)
    }
    if (!addresses.includes(address)) addresses.push(address)
  }
  return addresses
}

/** What no single key shows. @throws ConfigError */
export function checkWhole(config: BrokerConfig): void {
  if (memberNumber(config.selfId) < 0) throw invalid('dLegerSelfId', config.selfId, 'letters and a number, like n0')
  if (config.peers.length > 0 && !config.peers.some((peer) => peer.id === config.selfId)) {
    throw invalid(
      'dLegerSelfId',
      config.selfId,
      `one of dLegerPeers: ${config.peers.map((peer) => peer.id).join(', ')}`,
    )
  }
  checkClassic(config)
  if (config.listenPort === 1 || config.listenPort === 2) {
    throw invalid('listenPort', String(config.listenPort), '0, or 3 to 65535: listenPort - 2 is opened too')
  }
  if (config.preferredLeaderId !== '' && !config.peers.some((peer) => peer.id === config.preferredLeaderId)) {
    throw invalid('preferredLeaderId', config.preferredLeaderId, 'one of the ids of dLegerPeers')
  }
  const ownRaftPort = config.peers.find((peer) => peer.id === config.selfId)?.port
  if (ownRaftPort !== undefined && (ownRaftPort === config.listenPort || ownRaftPort === config.listenPort - 2)) {
    throw invalid(
      'listenPort',
      String(config.listenPort),
      `a port that differs from that of ${config.selfId} in dLegerPeers`,
    )
  }
  if (config.raftHeartbeatMs < config.raftTickMs) {
    throw invalid('raftHeartbeatMs', String(config.raftHeartbeatMs), `at least raftTickMs (${config.raftTickMs} ms)`)
  }
  if (config.raftElectionTimeoutMs < 3 * config.raftHeartbeatMs) {
    const what = `at least 3 x raftHeartbeatMs (${3 * config.raftHeartbeatMs} ms)`
    throw invalid('raftElectionTimeoutMs', String(config.raftElectionTimeoutMs), what)
  }
  const accessFault = accessKeyFault(config)
  if (accessFault !== undefined) throw invalid(accessFault.key, accessFault.value, accessFault.allowed)
  const least = config.maxMessageSize + RECORD_OVERHEAD_BYTES
  if (config.mappedFileSizeCommitLog < least) {
    const what = `at least ${least} bytes, so that one file can hold a message of maxMessageSize (${config.maxMessageSize})`
    throw invalid('mappedFileSizeCommitLog', String(config.mappedFileSizeCommitLog), what)
  }
  if (parseHours(config.deleteWhen) === undefined) {
    throw invalid('deleteWhen', config.deleteWhen, 'hours from 0 to 23, separated by semicolons: 04;16')
  }
  if (config.mappedFileSizeConsumeQueue % 20 !== 0) {
    throw invalid('mappedFileSizeConsumeQueue', String(config.mappedFileSizeConsumeQueue), 'a multiple of 20')
  }
  for (const key of ['brokerIP1', 'brokerIP2'] as const) {
    if (!/[,:\s]/.test(config[key])) continue
    throw invalid(key, config[key], 'an IPv4 address or a host name: clients cut routes at commas and colons')
  }
  for (const key of ['brokerName', 'brokerClusterName', 'dLegerGroup'] as const) {
    if (!/^[A-Za-z0-9._%|-]{1,127}$/.test(config[key])) {
      throw invalid(key, config[key], 'letters, digits and . _ - % |, at most 127')
    }
  }
  // It goes into the properties of every message as it is.
  if (!/^[A-Za-z0-9._-]{1,127}$/.test(config.regionId)) {
    throw invalid('regionId', config.regionId, 'letters, digits and . _ -, at most 127')
  }
}

/** A master and its slaves. @throws ConfigError */
function checkClassic(config: BrokerConfig): void {
  const { brokerRole, brokerId, classic, peers, haListenPort, listenPort } = config
  if (classic === null && peers.length === 0 && brokerRole === 'SLAVE') {
    const what = 'ASYNC_MASTER or SYNC_MASTER where enableDLegerCommitLog is true and dLegerPeers is empty'
    throw invalid('brokerRole', brokerRole, what)
  }
  if (classic === null) return
  if (classic === 'slave' && brokerId < 1) {
    throw invalid(
      'brokerId',
      String(brokerId),
      'a whole number from 1 on for brokerRole=SLAVE, another one for each slave',
    )
  }
  if (classic === 'slave' && config.namesrvAddresses.length === 0) {
    throw invalid(
      'namesrvAddr',
      config.namesrvAddr,
      'host:port;host:port for brokerRole=SLAVE: its master is found there',
    )
  }
  if (haListenPort !== 0 && (haListenPort === listenPort || haListenPort === listenPort - 2)) {
    throw invalid(
      'haListenPort',
      String(haListenPort),
      `0, or a port that differs from ${listenPort} and ${listenPort - 2}`,
    )
  }
  if (haListenPort === 0 && listenPort === 65_535) {
    throw invalid('haListenPort', '0', 'another port: there is none after listenPort')
  }
}

function warningsFor(input: Readonly<Record<string, string>>): string[] {
  const known = new Set<string>(Object.keys(CONFIG_KEYS))
  const ignored = new Set(IGNORED_KEYS)
  const warnings: string[] = []
  const { brokerRole = '', brokerId = '0' } = input
  // Apache's broker takes 0 without a word.
  if (brokerRole.trim().endsWith('_MASTER') && Number(brokerId) > 0) {
    warnings.push(`brokerId=${brokerId} does not count with brokerRole=${brokerRole.trim()}: a master is 0`)
  }
  for (const [key, value] of Object.entries(input)) {
    if (known.has(key)) continue
    if (ignored.has(key)) {
      warnings.push(`${shownPair(key, value)} is a key of Apache's broker that changes nothing here`)
      continue
    }
    warnings.push(
      `${shownPair(key, value)} is not a known key; the nearest is ${nearestName(key, [...known, ...ignored])}`,
    )
  }
  return warnings
}

/** A key that is misspelt may have a secret all the same. */
function shownPair(key: string, value: string): string {
  return `${key}=${/authentication|password|secret|credential/i.test(key) ? HIDDEN : value}`
}
