/** Topics with their settings, as brokers register them and tools read them. */
import { type DataVersion, dataVersionText, readDataVersion } from './data-version.ts'
import type { DialectObject, DialectValue } from './dialect.ts'
import { asArray, asEntries, asObject, asText, booleanOr, numberOr, parseObject, textOr } from './reader.ts'

export interface TopicConfig {
  topicName: string
  readQueueNums: number
  writeQueueNums: number
  /** 4 read, 2 write, 1 inherit, 8 priority. */
  perm: number
  topicFilterType: string
  topicSysFlag: number
  order: boolean
  attributes: Record<string, string>
}

export interface TopicConfigTable {
  dataVersion: DataVersion
  topics: Map<string, TopicConfig>
}

/** @returns a topic with the defaults of what is not given. */
export function topicConfig(config: Pick<TopicConfig, 'topicName'> & Partial<TopicConfig>): TopicConfig {
  return {
    readQueueNums: 16,
    writeQueueNums: 16,
    perm: 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false,
    attributes: {},
    ...config,
  }
}

function readTopicConfig(value: DialectValue | undefined, name?: string): TopicConfig {
  const object = asObject(value, 'a topic')
  const attributes: Record<string, string> = {}
  for (const [key, attribute] of asEntries(object['attributes'], 'attributes')) {
    attributes[key] = asText(attribute, 'an attribute')
  }
  return {
    topicName: textOr(object['topicName'], name, 'topicName') ?? asText(undefined, 'topicName'),
    readQueueNums: numberOr(object['readQueueNums'], 16, 'readQueueNums'),
    writeQueueNums: numberOr(object['writeQueueNums'], 16, 'writeQueueNums'),
    perm: numberOr(object['perm'], 6, 'perm'),
    topicFilterType: textOr(object['topicFilterType'], 'SINGLE_TAG', 'topicFilterType'),
    topicSysFlag: numberOr(object['topicSysFlag'], 0, 'topicSysFlag'),
    order: booleanOr(object['order'], false, 'order'),
    attributes,
  }
}

/** Keys in alphabetical order, as Java writes them. */
export function topicConfigText(config: TopicConfig): string {
  return JSON.stringify({
    attributes: config.attributes,
    order: config.order,
    perm: config.perm,
    readQueueNums: config.readQueueNums,
    topicFilterType: config.topicFilterType,
    topicName: config.topicName,
    topicSysFlag: config.topicSysFlag,
    writeQueueNums: config.writeQueueNums,
  })
}

/** Reads a TopicConfigSerializeWrapper. */
export function readTopicConfigTable(object: DialectObject): TopicConfigTable {
  const topics = new Map<string, TopicConfig>()
  for (const [name, value] of asEntries(object['topicConfigTable'], 'topicConfigTable')) {
    const config = readTopicConfig(value, name)
    topics.set(config.topicName, config)
  }
  return { dataVersion: readDataVersion(object['dataVersion']), topics }
}

/** Writes a TopicConfigSerializeWrapper with the fields of 5.x; we have no static topics, so their tables are empty. */
export function topicConfigTableText(table: TopicConfigTable): string {
  const version = dataVersionText(table.dataVersion)
  const topics = [...table.topics]
    .map(([name, config]) => `${JSON.stringify(name)}:${topicConfigText(config)}`)
    .join(',')
  return `{"dataVersion":${version},"mappingDataVersion":${version},"topicConfigTable":{${topics}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}`
}

/** The body of UPDATE_AND_CREATE_TOPIC_LIST; keys of attributes have a sign. @throws RemotingError `BAD_BODY`. */
export function decodeTopicConfigList(body: Buffer): TopicConfig[] {
  const { topicConfigList } = parseObject(body, 'a topic list')
  return asArray(topicConfigList, 'topicConfigList').map((one) => readTopicConfig(one))
}

export function encodeTopicConfigList(topics: readonly TopicConfig[]): Buffer {
  return Buffer.from(`{"topicConfigList":[${topics.map(topicConfigText).join(',')}]}`)
}

/** The body that answers GET_ALL_TOPIC_CONFIG. */
export function decodeTopicConfigTable(body: Buffer): TopicConfigTable {
  return readTopicConfigTable(parseObject(body, 'a topic table'))
}

export function encodeTopicConfigTable(table: TopicConfigTable): Buffer {
  return Buffer.from(topicConfigTableText(table))
}
