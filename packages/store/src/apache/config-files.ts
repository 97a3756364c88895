/**
 * What Apache's broker keeps beside its log in `<storePathRootDir>/config`, as this store knows it: topics, groups, consumer
 * offsets, and how far each delay level is delivered.
 *
 *   topics.json             {"topicConfigTable":{name:{…}}}
 *   subscriptionGroup.json  {"subscriptionGroupTable":{name:{…}}}
 *   consumerOffset.json     {"offsetTable":{"topic@group":{0:7,1:3}}}      keys that are bare numbers
 *   delayOffset.json        {"offsetTable":{1:3}}                          level: offset of the next entry
 *   NAME.json.bak           the one before, read where NAME.json cannot be
 *
 * Keeps: what is returned has the shapes and names that the log may hold. What belongs to every broker is left out, for each
 * broker has its own by its configuration.
 *
 * Source: org.apache.rocketmq.common.ConfigManager, RemotingSerializable; the managers of broker.topic, .subscription, .offset, .schedule.
 */
import { join } from 'node:path'
import type { Disk } from '@dledger-ts/dledger'
import { groupNameError, isSystemGroup, isSystemTopic, topicNameError } from '@dledger-ts/protocol'
import { StoreError } from '../errors.ts'
import type { ConsumerOffsetRow, DeliveredRow } from '../metadata/change.ts'
import { isGroupConfig, isTopicConfig } from '../metadata/change.ts'
import { defaultSubscriptionGroupConfig, type SubscriptionGroupConfig } from '../metadata/subscription-group-config.ts'
import { defaultTopicConfig, type TopicConfig } from '../metadata/topic-config.ts'

/** Larger ones are not read: nothing that a broker wrote. */
const FILE_BYTES_MAX = 256 * 1024 * 1024
/** A bare number as a key; strings are passed over whole. */
const STRING_OR_BARE_KEY = /"(?:[^"\\]|\\.)*"|([{,]\s*)(-?\d+)(\s*:)/g

export interface ApacheConfig {
  readonly directory: string
  readonly topics: readonly TopicConfig[]
  readonly groups: readonly SubscriptionGroupConfig[]
  readonly offsets: readonly ConsumerOffsetRow[]
  readonly delivered: readonly DeliveredRow[]
  /** Whether the file that says how far the delay levels are was there. */
  readonly knowsDelivered: boolean
  /** What was there and cannot be taken over, by name. */
  readonly refused: readonly string[]
}

/**
 * @param directory `<storePathRootDir>/config`.
 * @returns null where none of the files is.
 * @throws StoreError INVALID for a file that cannot be read, with what to do.
 */
export function readApacheConfig(disk: Disk, directory: string): ApacheConfig | null {
  const refused: string[] = []
  const topics = readTable(disk, join(directory, 'topics.json'), 'topicConfigTable')
  const groups = readTable(disk, join(directory, 'subscriptionGroup.json'), 'subscriptionGroupTable')
  const offsets = readTable(disk, join(directory, 'consumerOffset.json'), 'offsetTable')
  const delivered = readTable(disk, join(directory, 'delayOffset.json'), 'offsetTable')
  if (topics === null && groups === null && offsets === null && delivered === null) return null
  return {
    directory,
    topics: [...(topics ?? [])].flatMap(([name, value]) => topicOf(name, value, refused)),
    groups: [...(groups ?? [])].flatMap(([name, value]) => groupOf(name, value, refused)),
    offsets: [...(offsets ?? [])].flatMap(([name, value]) => offsetsOf(name, value, refused)),
    delivered: [...(delivered ?? [])].flatMap(([level, value]) => deliveredOf(level, value, refused)),
    knowsDelivered: delivered !== null,
    refused,
  }
}

function topicOf(topicName: string, value: unknown, refused: string[]): TopicConfig[] {
  if (isSystemTopic(topicName)) return []
  const given = isMap(value) ? value : {}
  const topic = { ...pick(defaultTopicConfig(topicName, 1), given), topicName }
  if (topicNameError(topicName) === undefined && isTopicConfig(topic)) return [topic]
  refused.push(`topic ${topicName}`)
  return []
}

function groupOf(groupName: string, value: unknown, refused: string[]): SubscriptionGroupConfig[] {
  if (isSystemGroup(groupName)) return []
  const given = isMap(value) ? value : {}
  const group = { ...pick(defaultSubscriptionGroupConfig(groupName), given), groupName }
  if (groupNameError(groupName) === undefined && isGroupConfig(group)) return [group]
  refused.push(`group ${groupName}`)
  return []
}

function offsetsOf(name: string, value: unknown, refused: string[]): ConsumerOffsetRow[] {
  const [topic, group, ...more] = name.split('@')
  const isNamed = topic !== undefined && topic !== '' && group !== undefined && group !== '' && more.length === 0
  if (!isNamed || name.includes('\0') || !isMap(value)) {
    refused.push(`offsets of ${name}`)
    return []
  }
  const rows: ConsumerOffsetRow[] = []
  for (const [queueId, offset] of Object.entries(value)) {
    // A client that never read a queue may have left -1.
    if (isCount(Number(queueId)) && isCount(offset)) rows.push([group, topic, Number(queueId), offset])
  }
  return rows
}

function deliveredOf(level: string, value: unknown, refused: string[]): DeliveredRow[] {
  if (Number(level) >= 1 && isCount(Number(level)) && isCount(value)) return [[Number(level), value]]
  refused.push(`delay level ${level}`)
  return []
}

/** The fields of `defaults`, with the values of `given` where it has them. */
function pick<Config extends object>(defaults: Config, given: Record<string, unknown>): Config {
  const entries = Object.entries(defaults).map(([name, value]) => [name, given[name] ?? value])
  return Object.fromEntries(entries) as Config
}

/** @returns null where neither the file nor the one before it is there. */
function readTable(disk: Disk, path: string, name: string): Map<string, unknown> | null {
  let failure: Error | null = null
  for (const candidate of [path, `${path}.bak`]) {
    if (!disk.existsSync(candidate)) continue
    try {
      return tableOf(readText(disk, candidate), name)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      failure ??= error
    }
  }
  if (failure === null) return null
  throw new StoreError(
    `${path} of Apache's broker cannot be read: ${failure.message}. Mend it, or remove it: what it says is not taken over then`,
    { code: 'INVALID', what: path },
    { cause: failure },
  )
}

function tableOf(text: string, name: string): Map<string, unknown> {
  const quoted = text.replace(STRING_OR_BARE_KEY, (whole, before?: string, key?: string, after?: string) =>
    key === undefined ? whole : `${before}"${key}"${after}`,
  )
  const content: unknown = JSON.parse(quoted)
  const table = isMap(content) ? (content[name] ?? {}) : null
  if (!isMap(table)) throw new Error(`it holds no ${name}`)
  return new Map(Object.entries(table))
}

function readText(disk: Disk, path: string): string {
  const file = disk.openSync(path, { create: false, readOnly: true })
  try {
    const size = file.sizeSync()
    if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes, at most ${FILE_BYTES_MAX} are read`)
    const bytes = Buffer.alloc(size)
    return bytes.subarray(0, file.readSync(bytes, 0)).toString('utf8')
  } finally {
    file.closeSync()
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
