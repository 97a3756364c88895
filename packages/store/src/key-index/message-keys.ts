/**
 * The keys under which a message is found: its unique id and each token of KEYS, as `topic#key`; none for a rolled back one.
 *
 * The hashes come from the record's bytes, without a text for each key; only what is not ASCII is decoded, because Java hashes
 * UTF-16 units.
 *
 * Source: org.apache.rocketmq.store.index.IndexService.buildIndex, IndexFile.indexKeyHashMethod.
 */
import {
  indexHash,
  MessageSysFlag,
  PropertyName,
  readText,
  recordPropertiesAt,
  recordProperty,
  recordSysFlag,
  recordTopic,
  recordTopicAt,
  recordTopicLength,
  recordTotalSize,
  transactionType,
} from '@dledger-ts/protocol'

const NAME_END = 1
const VALUE_END = 2
const KEY_SEPARATOR = 0x20
const SEPARATOR = '#'
const SEPARATOR_CODE = 0x23
const ASCII_END = 0x80
/** In place of a hash: outside the int32 that hashes are. */
const NOT_ASCII = 2 ** 40

/** Finds the hashes of one message after the other. */
export class MessageKeys {
  /** Of the message examined last, its unique id first. */
  hashes = new Int32Array(64)
  count = 0
  /** Of `topic#`, or NOT_ASCII. */
  #prefixHash = 0
  #uniqueFrom = 0
  #uniqueTo = 0
  #keysFrom = 0
  #keysTo = 0

  /** Examines the record at `at`, which passed `checkRecord`. @returns how many keys it has. Hot. */
  examine(bytes: Buffer, at: number): number {
    this.count = 0
    if (transactionType(recordSysFlag(bytes, at)) === MessageSysFlag.TRANSACTION_ROLLBACK) return 0
    this.#findProperties(bytes, recordPropertiesAt(bytes, at), at + recordTotalSize(bytes, at))
    if (this.#uniqueTo === 0 && this.#keysTo === 0) return 0
    const topicAt = recordTopicAt(bytes, at)
    const topicHash = rollingHash(bytes, topicAt, topicAt + recordTopicLength(bytes, at), 0)
    this.#prefixHash = topicHash === NOT_ASCII ? NOT_ASCII : (Math.imul(topicHash, 31) + SEPARATOR_CODE) | 0
    if (this.#uniqueTo > 0) this.#add(bytes, at, this.#uniqueFrom, this.#uniqueTo)
    for (let from = this.#keysFrom; from < this.#keysTo;) {
      let to = from
      while (to < this.#keysTo && bytes[to] !== KEY_SEPARATOR) to++
      if (to > from) this.#add(bytes, at, from, to)
      from = to + 1
    }
    return this.count
  }

  /** Where the values of the two properties stand; the last of equal names wins, one without a value is none. */
  #findProperties(bytes: Buffer, from: number, end: number): void {
    this.#uniqueTo = 0
    this.#keysTo = 0
    this.#keysFrom = 0
    for (let at = from; at < end;) {
      let to = at
      while (to < end && bytes[to] !== VALUE_END) to++
      if (isNamed(bytes, PropertyName.UNIQ_KEY, at, to)) {
        this.#uniqueFrom = at + PropertyName.UNIQ_KEY.length + 1
        this.#uniqueTo = to
      } else if (isNamed(bytes, PropertyName.KEYS, at, to)) {
        this.#keysFrom = at + PropertyName.KEYS.length + 1
        this.#keysTo = to
      }
      at = to + 1
    }
  }

  #add(bytes: Buffer, recordAt: number, from: number, to: number): void {
    if (this.count === this.hashes.length) {
      const more = new Int32Array(this.hashes.length * 2)
      more.set(this.hashes)
      this.hashes = more
    }
    const hash = this.#prefixHash === NOT_ASCII ? NOT_ASCII : rollingHash(bytes, from, to, this.#prefixHash)
    if (hash === NOT_ASCII) {
      this.hashes[this.count++] = indexKeyHash(recordTopic(bytes, recordAt), readText(bytes, from, to))
    } else {
      // |MIN_INT| is 0 in Java.
      this.hashes[this.count++] = hash >= 0 ? hash : -hash & 0x7fff_ffff
    }
  }
}

/** The hash under which `topic#key` is filed. */
export function indexKeyHash(topic: string, key: string): number {
  return indexHash(topic + SEPARATOR + key)
}

/** Whether the record is a message of this topic with this unique id. */
export function hasUniqueKey(record: Buffer, topic: string, key: string): boolean {
  return recordProperty(record, PropertyName.UNIQ_KEY) === key && recordTopic(record) === topic
}

/** Whether the record is a message of this topic with this key or unique id. */
export function hasKey(record: Buffer, topic: string, key: string): boolean {
  if (recordTopic(record) !== topic) return false
  if (recordProperty(record, PropertyName.UNIQ_KEY) === key) return true
  const keys = recordProperty(record, PropertyName.KEYS)
  return keys !== undefined && keys.split(' ').includes(key)
}

/** Whether one of the record's keys has this hash. */
export function hasKeyHash(record: Buffer, keyHash: number): boolean {
  const keys = new MessageKeys()
  const count = keys.examine(record, 0)
  return keys.hashes.subarray(0, count).includes(keyHash)
}

/** @returns Java's string hash of ASCII bytes, continued from `hash`, or NOT_ASCII. */
function rollingHash(bytes: Buffer, from: number, to: number, hash: number): number {
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    if (byte >= ASCII_END) return NOT_ASCII
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  return hash
}

/** Is the piece [from, to) a property of this ASCII name with a value? */
function isNamed(bytes: Buffer, name: string, from: number, to: number): boolean {
  const nameTo = from + name.length
  if (nameTo + 1 >= to || bytes[nameTo] !== NAME_END) return false
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name.charCodeAt(i)) return false
  return true
}
