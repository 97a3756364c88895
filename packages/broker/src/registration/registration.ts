/**
 * What this broker says of itself to name servers: its role's id and, with them, its topics.
 *
 * Keeps: nothing is registered before the first role; the data version grows with every change of a topic and every new leader.
 */
import { isReadable, isWritable, Permission } from '@dledger-ts/protocol'
import {
  encodeRegisterBrokerBody,
  RegisterBrokerRequest,
  type RemotingCommand,
  type TopicConfig as WireTopicConfig,
  UnregisterBrokerRequest,
} from '@dledger-ts/remoting'
import type { DataVersion, TopicConfig } from '@dledger-ts/store'
import { crc32 } from '@dledger-ts/base'

export interface Identity {
  readonly clusterName: string
  readonly brokerName: string
  readonly address: string
  readonly brokerId: number
  /** Where slaves reach it; elsewhere as `address`. */
  readonly haAddress: string
}

const CRC_MASK = 0x7fffffff

export function registrationOf(
  identity: Identity,
  topics: ReadonlyMap<string, TopicConfig>,
  { dataVersion, brokerPermission }: { dataVersion: DataVersion; brokerPermission: number },
): RemotingCommand {
  const table = new Map<string, WireTopicConfig>()
  for (const [name, topic] of topics) {
    table.set(name, { ...topic, attributes: { ...topic.attributes }, perm: outwardPerm(topic.perm, brokerPermission) })
  }
  const body = encodeRegisterBrokerBody({ dataVersion, topics: table, filterServers: [] })
  return RegisterBrokerRequest.request(
    {
      brokerName: identity.brokerName,
      brokerAddr: identity.address,
      clusterName: identity.clusterName,
      haServerAddr: identity.haAddress,
      brokerId: identity.brokerId,
      enableActingMaster: false,
      compressed: false,
      bodyCrc32: crc32(body) & CRC_MASK,
    },
    body,
  )
}

export function unregistrationOf(identity: Identity): RemotingCommand {
  return UnregisterBrokerRequest.request({
    brokerName: identity.brokerName,
    brokerAddr: identity.address,
    clusterName: identity.clusterName,
    brokerId: identity.brokerId,
  })
}

/** A broker that may not be read or written gives no topic that permission. */
function outwardPerm(perm: number, brokerPermission: number): number {
  let out = perm
  if (!isReadable(brokerPermission)) out &= ~Permission.READ
  if (!isWritable(brokerPermission)) out &= ~Permission.WRITE
  return out
}
