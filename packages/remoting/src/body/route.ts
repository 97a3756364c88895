/**
 * Where a topic's queues are and where its brokers are: what clients steer by.
 *
 * Written byte for byte as Java does (keys in alphabetical order, no spaces): the Go client cuts `brokerAddrs` as text, so a
 * space would become part of an address. Broker ids are quoted, which every client reads.
 */
import type { DialectValue } from './dialect.ts'
import { asArray, asEntries, asObject, asText, booleanOr, numberOr, parseObject, textOr, texts } from './reader.ts'

export interface QueueData {
  brokerName: string
  readQueueNums: number
  writeQueueNums: number
  /** 4 read, 2 write, 1 inherit, 8 priority. */
  perm: number
  topicSysFlag: number
}

export interface BrokerData {
  cluster: string
  brokerName: string
  /** By broker id, smallest first; 0 is the master. */
  brokerAddrs: Map<number, string>
  enableActingMaster: boolean
  zoneName?: string
}

export interface TopicRouteData {
  orderTopicConf?: string
  queueDatas: QueueData[]
  brokerDatas: BrokerData[]
  filterServerTable: Map<string, string[]>
}

export interface ClusterInfo {
  brokerAddrTable: Map<string, BrokerData>
  clusterAddrTable: Map<string, string[]>
}

export interface BrokerMemberGroup {
  cluster: string
  brokerName: string
  brokerAddrs: Map<number, string>
}

export function encodeTopicRouteData(route: TopicRouteData): Buffer {
  const brokers = route.brokerDatas.map(brokerDataText).join(',')
  const filterServers = [...route.filterServerTable].map(
    ([address, list]) => `${JSON.stringify(address)}:${JSON.stringify(list)}`,
  )
  const order = route.orderTopicConf === undefined ? '' : `,"orderTopicConf":${JSON.stringify(route.orderTopicConf)}`
  const queues = route.queueDatas.map(queueDataText).join(',')
  return Buffer.from(
    `{"brokerDatas":[${brokers}],"filterServerTable":{${filterServers.join(',')}}${order},"queueDatas":[${queues}]}`,
  )
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeTopicRouteData(body: Buffer): TopicRouteData {
  const object = parseObject(body, 'a route')
  const orderTopicConf = textOr(object['orderTopicConf'], undefined, 'orderTopicConf')
  const filterServerTable = new Map<string, string[]>()
  for (const [address, list] of asEntries(object['filterServerTable'], 'filterServerTable')) {
    filterServerTable.set(address, texts(list, 'filter servers'))
  }
  return {
    ...(orderTopicConf === undefined ? {} : { orderTopicConf }),
    queueDatas: asArray(object['queueDatas'], 'queueDatas').map(readQueueData),
    brokerDatas: asArray(object['brokerDatas'], 'brokerDatas').map(readBrokerData),
    filterServerTable,
  }
}

export function encodeClusterInfo(info: ClusterInfo): Buffer {
  const brokers = [...info.brokerAddrTable]
    .map(([name, data]) => `${JSON.stringify(name)}:${brokerDataText(data)}`)
    .join(',')
  const clusters = [...info.clusterAddrTable]
    .map(([name, names]) => `${JSON.stringify(name)}:${JSON.stringify(names)}`)
    .join(',')
  return Buffer.from(`{"brokerAddrTable":{${brokers}},"clusterAddrTable":{${clusters}}}`)
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeClusterInfo(body: Buffer): ClusterInfo {
  const object = parseObject(body, 'cluster info')
  const info: ClusterInfo = { brokerAddrTable: new Map(), clusterAddrTable: new Map() }
  for (const [name, value] of asEntries(object['brokerAddrTable'], 'brokerAddrTable')) {
    info.brokerAddrTable.set(name, readBrokerData(value))
  }
  for (const [name, value] of asEntries(object['clusterAddrTable'], 'clusterAddrTable')) {
    info.clusterAddrTable.set(name, texts(value, 'broker names'))
  }
  return info
}

export function encodeBrokerMemberGroup(group: BrokerMemberGroup): Buffer {
  const { brokerName, cluster } = group
  return Buffer.from(
    `{"brokerMemberGroup":{"brokerAddrs":${brokerAddrsText(group.brokerAddrs)},"brokerName":${JSON.stringify(brokerName)},"cluster":${JSON.stringify(cluster)}}}`,
  )
}

/** @throws RemotingError `BAD_BODY`. */
export function decodeBrokerMemberGroup(body: Buffer): BrokerMemberGroup {
  const group = asObject(parseObject(body, 'a member group')['brokerMemberGroup'], 'brokerMemberGroup')
  return {
    cluster: asText(group['cluster'], 'cluster'),
    brokerName: asText(group['brokerName'], 'brokerName'),
    brokerAddrs: readBrokerAddrs(group['brokerAddrs']),
  }
}

function queueDataText(queue: QueueData): string {
  return `{"brokerName":${JSON.stringify(queue.brokerName)},"perm":${queue.perm},"readQueueNums":${queue.readQueueNums},"topicSysFlag":${queue.topicSysFlag},"writeQueueNums":${queue.writeQueueNums}}`
}

function brokerDataText(broker: BrokerData): string {
  const zone = broker.zoneName === undefined ? '' : `,"zoneName":${JSON.stringify(broker.zoneName)}`
  return `{"brokerAddrs":${brokerAddrsText(broker.brokerAddrs)},"brokerName":${JSON.stringify(broker.brokerName)},"cluster":${JSON.stringify(broker.cluster)},"enableActingMaster":${broker.enableActingMaster}${zone}}`
}

function brokerAddrsText(addresses: Map<number, string>): string {
  return `{${[...addresses].map(([id, address]) => `"${id}":${JSON.stringify(address)}`).join(',')}}`
}

function readQueueData(value: DialectValue): QueueData {
  const object = asObject(value, 'queue data')
  return {
    brokerName: asText(object['brokerName'], 'brokerName'),
    readQueueNums: numberOr(object['readQueueNums'], 0, 'readQueueNums'),
    writeQueueNums: numberOr(object['writeQueueNums'], 0, 'writeQueueNums'),
    perm: numberOr(object['perm'], 0, 'perm'),
    topicSysFlag: numberOr(object['topicSysFlag'] ?? object['topicSynFlag'], 0, 'topicSysFlag'),
  }
}

function readBrokerData(value: DialectValue): BrokerData {
  const object = asObject(value, 'broker data')
  const zoneName = textOr(object['zoneName'], undefined, 'zoneName')
  return {
    cluster: textOr(object['cluster'], '', 'cluster'),
    brokerName: asText(object['brokerName'], 'brokerName'),
    brokerAddrs: readBrokerAddrs(object['brokerAddrs']),
    enableActingMaster: booleanOr(object['enableActingMaster'], false, 'enableActingMaster'),
    ...(zoneName === undefined ? {} : { zoneName }),
  }
}

function readBrokerAddrs(value: DialectValue | undefined): Map<number, string> {
  const addresses = new Map<number, string>()
  for (const [id, address] of asEntries(value, 'brokerAddrs')) {
    addresses.set(numberOr(Number(id), 0, 'a broker id'), asText(address, 'a broker address'))
  }
  return addresses
}
