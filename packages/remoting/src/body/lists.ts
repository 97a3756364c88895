/** Bodies that are a list or a table of texts. */
import { asEntries, asText, parseObject, textOr, texts } from './reader.ts'

/** The members of a consumer group. */
export function encodeConsumerIdList(clientIds: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify({ consumerIdList: clientIds }))
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeConsumerIdList(body: Buffer): string[] {
  return texts(parseObject(body, 'a member list')['consumerIdList'], 'consumerIdList')
}

export interface TopicList {
  topicList: string[]
  /** Any broker's address, for tools that ask it next. */
  brokerAddr?: string
}

export function encodeTopicList(list: TopicList): Buffer {
  const { brokerAddr, topicList } = list
  return Buffer.from(JSON.stringify({ brokerAddr, topicList }))
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeTopicList(body: Buffer): TopicList {
  const object = parseObject(body, 'a topic list')
  const brokerAddr = textOr(object['brokerAddr'], undefined, 'brokerAddr')
  return { topicList: texts(object['topicList'], 'topicList'), ...(brokerAddr === undefined ? {} : { brokerAddr }) }
}

export function encodeKvTable(table: ReadonlyMap<string, string>): Buffer {
  return Buffer.from(JSON.stringify({ table: Object.fromEntries(table) }))
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeKvTable(body: Buffer): Map<string, string> {
  const entries = asEntries(parseObject(body, 'a table')['table'], 'table')
  return new Map(entries.map(([key, value]) => [key, asText(value, 'a value')]))
}
