/**
 * Hashes, ids, properties, names and delay levels against the values that Apache's classes computed.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DEFAULT_MESSAGE_DELAY_LEVEL, parseDelayLevels } from './delay-levels.ts'
import { ProtocolError } from './errors.ts'
import { formatHostAddress, hostAddress } from './host-address.ts'
import { indexHash, javaHash, tagsCode } from './java-hash.ts'
import { offsetMsgId, parseOffsetMsgId, UniqKeyGenerator } from './message-id.ts'
import { groupNameError, topicNameError } from './names.ts'
import { Permission } from './permission.ts'
import { addPropertyIfAbsent, decodeProperties, encodeProperties, getProperty } from './properties.ts'
import { recordCrc } from './record.ts'
import { MessageSysFlag } from './sys-flag.ts'
import { isNotAllowedSendTopic, isSystemTopic } from './system-topics.ts'

interface Values {
  tagCodes: { tag: string | null; tagsCode: number }[]
  indexHashes: { key: string; javaHash: number; indexHash: number; slotOf5000000: number }[]
  crc32: { text?: string | null; hex?: string; length: number; masked: number }[]
  offsetMsgIds: {
    host?: string
    port: number
    offset: number
    offsetMsgId: string
    decodedAddress?: string
    error?: string
  }[]
  uniqKeys: { uniqKey: string; ip: string; pid: number }[]
  properties: {
    decode: { text: string; decoded: Record<string, string> }[]
    encode: { map: Record<string, string | null>; encoded: string }[]
  }
  names: {
    cases: {
      name: string | null
      nameIs: string
      topicValid: boolean
      topicRemark?: string
      groupValid: boolean
      groupRemark: string
      systemTopic: boolean
      notAllowedSend: boolean
    }[]
    systemTopics: string[]
    notAllowedSendTopics: string[]
  }
  delayLevels: { messageDelayLevel: string; parse: { config: string; ok: boolean; tableMs: Record<string, number> }[] }
  messageSysFlags: Record<string, number>
  permissions: Record<string, number>
}
const values = JSON.parse(readFileSync(new URL('../../../test/vectors/values.json', import.meta.url), 'utf8')) as Values

describe('hashes', () => {
  it.each(values.tagCodes)('tag $tag', ({ tag, tagsCode: expected }) => {
    expect(tagsCode(tag ?? undefined)).toBe(expected)
  })
  it.each(values.indexHashes)('key $key', (row) => {
    expect(javaHash(row.key)).toBe(row.javaHash)
    expect(indexHash(row.key)).toBe(row.indexHash)
    expect(indexHash(row.key) % 5_000_000).toBe(row.slotOf5000000)
  })
  it.each(values.crc32)('CRC of $text $hex', ({ text, hex, length, masked }) => {
    const bytes = hex === undefined ? Buffer.from(text ?? 'z'.repeat(length)) : Buffer.from(hex, 'hex')
    expect(recordCrc(bytes)).toBe(masked)
  })
})

describe('offset message ids', () => {
  const made = values.offsetMsgIds.filter((row) => row.host !== undefined && Number.isSafeInteger(row.offset))
  it.each(made)(
    '$offsetMsgId names $host:$port and an offset',
    ({ host, port, offset, offsetMsgId: id, decodedAddress }) => {
      expect(offsetMsgId(hostAddress(host ?? '', port), offset)).toBe(id)
      const parsed = parseOffsetMsgId(id)
      expect(formatHostAddress(parsed.host)).toBe(decodedAddress)
      expect(parsed.physicalOffset).toBe(offset)
    },
  )
  it('reads lower case', () => {
    expect(parseOffsetMsgId('0a00000200002a9f0000000000000418').physicalOffset).toBe(1048)
  })
  const refused = values.offsetMsgIds.filter((row) => row.error !== undefined).map((row) => row.offsetMsgId)
  it.each([...refused, 'zz00000200002A9F0000000000000418', 'FFFFFFFF0000FFFF7FFFFFFFFFFFFFFF'])(
    '%j is refused',
    (id) => {
      expect(() => parseOffsetMsgId(id)).toThrow(ProtocolError)
    },
  )
})

describe('unique keys', () => {
  it.each(values.uniqKeys)('$uniqKey starts with the address and pid it names', ({ uniqKey, ip, pid }) => {
    const { address } = hostAddress(ip, 0)
    const clock = { nowMs: () => 1_700_000_000_000, monotonicMs: () => 0, after: () => () => {}, defer: () => {} }
    const ours = new UniqKeyGenerator({ address, pid, instance: 0x18b4aac2, clock }).next()
    const prefixChars = address.length * 2 + 4
    expect(ours.length).toBe(uniqKey.length)
    expect(ours.slice(0, prefixChars)).toBe(uniqKey.slice(0, prefixChars))
    expect(ours).toMatch(/^[0-9A-F]+$/)
  })
  it('differ within a millisecond and count the milliseconds of the month', () => {
    const utcOffsetMs = 8 * 3_600_000
    let nowMs = Date.UTC(2026, 2, 1, 0, 0, 5) - utcOffsetMs
    const clock = { nowMs: () => nowMs, monotonicMs: () => 0, after: () => () => {}, defer: () => {} }
    const keys = new UniqKeyGenerator({ address: Buffer.from([10, 0, 0, 1]), pid: 7, instance: 9, clock, utcOffsetMs })
    expect(new Set(Array.from({ length: 1000 }, () => keys.next())).size).toBe(1000)
    expect(keys.next().slice(20, 28)).toBe('00001388')
    nowMs = Date.UTC(2026, 3, 1) + 1 - utcOffsetMs
    expect(keys.next().slice(20, 28)).toBe('00000001')
    nowMs = Date.UTC(2026, 2, 1) + 2 - utcOffsetMs
    expect(keys.next().slice(20, 28)).toBe('00000002')
  })
  it('know every month', () => {
    let nowMs = 0
    const clock = { nowMs: () => nowMs, monotonicMs: () => 0, after: () => () => {}, defer: () => {} }
    const keys = new UniqKeyGenerator({ address: Buffer.from([10, 0, 0, 1]), pid: 7, instance: 9, clock })
    for (let month = 0; month < 12 * 140; month++) {
      nowMs = Date.UTC(1970, month + 1, 1) - 1
      const sinceStart = nowMs - Date.UTC(1970, month, 1)
      expect(Number.parseInt(keys.next().slice(20, 28), 16)).toBe(sinceStart)
      nowMs++
      expect(keys.next().slice(20, 28)).toBe('00000000')
    }
  })
})

describe('properties', () => {
  it.each(values.properties.decode)('$text is read as $decoded', ({ text, decoded }) => {
    expect(Object.fromEntries(decodeProperties(text))).toEqual(decoded)
    for (const [name, value] of Object.entries(decoded)) expect(getProperty(text, name)).toBe(value)
  })
  it.each(values.properties.encode)('$map is written as $encoded', ({ map, encoded }) => {
    expect(encodeProperties(Object.entries(map))).toBe(encoded)
  })
  it('adds what is absent and leaves what is there', () => {
    expect(addPropertyIfAbsent('a\x011', 'b', '2')).toBe('a\x011\x02b\x012\x02')
    expect(addPropertyIfAbsent('a\x01\x02', 'a', '2')).toBe('a\x012\x02')
    expect(addPropertyIfAbsent('a\x011\x02', 'a', '2')).toBe('a\x011\x02')
  })
})

describe('names', () => {
  it.each(values.names.cases)('$name $nameIs', (row) => {
    const name = row.name ?? spelledOut(row.nameIs)
    expect(topicNameError(name) === undefined).toBe(row.topicValid)
    if (row.topicRemark !== undefined) expect(topicNameError(name) ?? '').toBe(row.topicRemark)
    expect(groupNameError(name) === undefined).toBe(row.groupValid)
    expect(groupNameError(name) ?? '').toBe(row.groupRemark)
    expect(isSystemTopic(name)).toBe(row.systemTopic)
    expect(isNotAllowedSendTopic(name)).toBe(row.notAllowedSend)
  })
  it('knows the system topics, and which of them a client may not write', () => {
    for (const topic of values.names.systemTopics) expect(isSystemTopic(topic)).toBe(true)
    for (const topic of values.names.notAllowedSendTopics) expect(isNotAllowedSendTopic(topic)).toBe(true)
    expect(values.names.systemTopics.filter(isNotAllowedSendTopic).sort()).toEqual(values.names.notAllowedSendTopics)
  })
})

describe('delay levels', () => {
  it('has the default', () => {
    expect(DEFAULT_MESSAGE_DELAY_LEVEL).toBe(values.delayLevels.messageDelayLevel)
  })
  it.each(values.delayLevels.parse)('$config', ({ config, ok, tableMs }) => {
    if (ok) expect(parseDelayLevels(config)).toEqual(Object.values(tableMs))
    else expect(() => parseDelayLevels(config)).toThrow(ProtocolError)
  })
})

describe('flags', () => {
  it('has the bits of a record', () => {
    const flags = values.messageSysFlags
    expect(MessageSysFlag).toEqual({
      COMPRESSED: flags['COMPRESSED_FLAG'],
      MULTI_TAGS: flags['MULTI_TAGS_FLAG'],
      TRANSACTION_NONE: flags['TRANSACTION_NOT_TYPE'],
      TRANSACTION_PREPARED: flags['TRANSACTION_PREPARED_TYPE'],
      TRANSACTION_COMMIT: flags['TRANSACTION_COMMIT_TYPE'],
      TRANSACTION_ROLLBACK: flags['TRANSACTION_ROLLBACK_TYPE'],
      BORN_HOST_IPV6: flags['BORNHOST_V6_FLAG'],
      STORE_HOST_IPV6: flags['STOREHOSTADDRESS_V6_FLAG'],
      NEED_UNWRAP: flags['NEED_UNWRAP_FLAG'],
      INNER_BATCH: flags['INNER_BATCH_FLAG'],
      COMPRESSION_LZ4: flags['COMPRESSION_LZ4_TYPE'],
      COMPRESSION_ZSTD: flags['COMPRESSION_ZSTD_TYPE'],
      COMPRESSION_ZLIB: flags['COMPRESSION_ZLIB_TYPE'],
    })
  })
  it('has the bits of a permission', () => {
    const { INHERIT, WRITE, READ, PRIORITY } = Permission
    expect({ INHERIT, WRITE, READ, PRIORITY }).toEqual({
      INHERIT: values.permissions['PERM_INHERIT'],
      WRITE: values.permissions['PERM_WRITE'],
      READ: values.permissions['PERM_READ'],
      PRIORITY: values.permissions['PERM_PRIORITY'],
    })
  })
})

/** `a*127` and `%RETRY% + a*120` describe long names. */
function spelledOut(description: string): string {
  const match = /^(?:(%\w+%) \+ )?a\*(\d+)$/.exec(description)
  return `${match?.[1] ?? ''}${'a'.repeat(Number(match?.[2]))}`
}
