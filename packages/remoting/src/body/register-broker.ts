/**
 * What a broker registers: its topics under a data version. Plain JSON, or a zlib stream of
 *
 *   | length: 4 | data version: JSON | topic count: 4 | topics… | length: 4 | filter servers: JSON array | (5.x) mappings |
 *
 *   each topic is | length: 4 | text: name readQueues writeQueues perm SINGLE_TAG [attributes as JSON] |
 *
 * Which of the two a body is, its bytes say: a 5.5 broker was seen to send the compressed form under `compressed=false`.
 *
 * Source: org.apache.rocketmq.remoting.protocol.body.RegisterBrokerBody.
 */
import { deflateSync, inflateSync } from 'node:zlib'
import { badBody } from '../errors.ts'
import { dataVersionText, readDataVersion } from './data-version.ts'
import { parseDialect } from './dialect.ts'
import { asObject, asText, parseObject, texts } from './reader.ts'
import {
  readTopicConfigTable,
  type TopicConfig,
  topicConfig,
  type TopicConfigTable,
  topicConfigTableText,
} from './topic-config.ts'

export interface RegisterBrokerBody extends TopicConfigTable {
  filterServers: string[]
}

/** An inflated body larger than this is refused: a small frame must not become a gigabyte. */
const INFLATED_BYTES_MAX = 64 * 1024 * 1024
const OPEN_BRACE = 0x7b

/** @throws RemotingError `BAD_BODY`. */
export function decodeRegisterBrokerBody(body: Buffer): RegisterBrokerBody {
  return body[0] === OPEN_BRACE ? decodePlain(body) : decodeCompressed(body)
}

/** The plain form, which every namesrv reads. */
export function encodeRegisterBrokerBody(body: RegisterBrokerBody): Buffer {
  const filterServers = JSON.stringify(body.filterServers)
  return Buffer.from(
    `{"filterServerList":${filterServers},"topicConfigSerializeWrapper":${topicConfigTableText(body)}}`,
  )
}

/** The compressed form, with the mapping section of 5.x. */
export function encodeCompressedRegisterBrokerBody(body: RegisterBrokerBody): Buffer {
  const parts = [lengthPrefixed(dataVersionText(body.dataVersion)), int32(body.topics.size)]
  for (const topic of body.topics.values()) parts.push(lengthPrefixed(topicLine(topic)))
  parts.push(lengthPrefixed(JSON.stringify(body.filterServers)), int32(0))
  return deflateSync(Buffer.concat(parts), { level: 9 })
}

function decodePlain(body: Buffer): RegisterBrokerBody {
  const object = parseObject(body, 'a registration')
  return {
    ...readTopicConfigTable(asObject(object['topicConfigSerializeWrapper'], 'topicConfigSerializeWrapper')),
    filterServers: texts(object['filterServerList'], 'filterServerList'),
  }
}

function decodeCompressed(body: Buffer): RegisterBrokerBody {
  let bytes: Buffer
  try {
    bytes = inflateSync(body, { maxOutputLength: INFLATED_BYTES_MAX })
  } catch (error) {
    throw badBody('a registration is neither JSON nor a zlib stream', error)
  }
  const sections = new Sections(bytes)
  const dataVersion = readDataVersion(parseDialect(sections.text()))
  const topics = new Map<string, TopicConfig>()
  for (let left = sections.count(); left > 0; left--) {
    const config = readTopicLine(sections.text())
    topics.set(config.topicName, config)
  }
  return { dataVersion, topics, filterServers: texts(parseDialect(sections.text()), 'filter servers') }
}

/** Reads length-prefixed sections, each length checked before its content. */
class Sections {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  count(): number {
    if (this.#at + 4 > this.#bytes.length) throw badBody('a registration is cut')
    const value = this.#bytes.readInt32BE(this.#at)
    this.#at += 4
    if (value < 0 || value > this.#bytes.length - this.#at) throw badBody(`${value} leaves the registration`)
    return value
  }

  text(): string {
    const length = this.count()
    this.#at += length
    return this.#bytes.toString('utf8', this.#at - length, this.#at)
  }
}

function readTopicLine(line: string): TopicConfig {
  const [topicName, readQueueNums, writeQueueNums, perm, topicFilterType, ...attributes] = line.split(' ')
  const numbers = [readQueueNums, writeQueueNums, perm].map(Number)
  if (!topicName || !topicFilterType || !numbers.every(Number.isSafeInteger))
    throw badBody(`a topic line: ${line.slice(0, 200)}`)
  const config = topicConfig({
    topicName,
    readQueueNums: numbers[0] as number,
    writeQueueNums: numbers[1] as number,
    perm: numbers[2] as number,
    topicFilterType,
  })
  if (attributes.length > 0) {
    for (const [key, value] of Object.entries(asObject(parseDialect(attributes.join(' ')), 'attributes'))) {
      config.attributes[key] = asText(value, 'an attribute')
    }
  }
  return config
}

function topicLine(topic: TopicConfig): string {
  const { topicName, readQueueNums, writeQueueNums, perm, topicFilterType, attributes } = topic
  return `${topicName} ${readQueueNums} ${writeQueueNums} ${perm} ${topicFilterType} ${JSON.stringify(attributes)}`
}

function lengthPrefixed(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([int32(bytes.length), bytes])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
