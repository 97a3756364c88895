/**
 * Tables that tools and replicas read: one group's settings (352), the topics of the system (305), all consumer offsets (43), how far the
 * delay levels are delivered (45).
 *
 * Source: AdminBrokerProcessor.
 */
import {
  type Connection,
  createResponse,
  encodeAllConsumerOffsets,
  encodeDelayOffsets,
  encodeTopicList,
  GetGroupConfigRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  subscriptionGroupText,
} from '@dledger-ts/remoting'
import type { BrokerContext } from '../../context.ts'
import { CONTROL_TOPIC } from '../../topics/topic-table.ts'
import type { Processor } from '../registry.ts'
import { BODY_BYTES_MAX, sized, tooLarge } from './answer-size.ts'
import type { Scans } from './scans.ts'

export function tableProcessors(context: BrokerContext, scans: Scans): [number, Processor][] {
  const { store, topics, groups } = context

  function oneGroup(_connection: Connection, request: RemotingCommand): RemotingCommand {
    const found = groups.find(GetGroupConfigRequest.decode(request.extFields).group)
    if (found === undefined) {
      return createResponse(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, 'No group in this broker')
    }
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, Buffer.from(subscriptionGroupText(found)))
  }

  function systemTopics(): RemotingCommand {
    const topicList = [...topics.systemNames(), CONTROL_TOPIC]
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeTopicList({ topicList }))
  }

  async function allConsumerOffsets(): Promise<RemotingCommand> {
    const names = [...store.groupsWithOffsets()]
    let bytes = 0
    const rows = await scans.run(names.length, (i) => {
      // What no frame has room for is not gathered either.
      if (bytes > BODY_BYTES_MAX) return []
      const group = names[i] as string
      return [...store.consumerOffsets(group)].map(([topic, queues]) => {
        const row = [`${topic}@${group}`, JSON.stringify(Object.fromEntries(queues))] as const
        bytes += row[0].length + row[1].length
        return row
      })
    })
    if (bytes > BODY_BYTES_MAX) return tooLarge(bytes)
    return sized(encodeAllConsumerOffsets(store.dataVersion(), rows.flat()))
  }

  function delayOffsets(): RemotingCommand {
    const body = encodeDelayOffsets(store.dataVersion(), store.delayOffsets())
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, body)
  }

  return [
    [RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { served: 'here', handle: oneGroup }],
    [RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER, { served: 'here', handle: systemTopics }],
    [RequestCode.GET_ALL_CONSUMER_OFFSET, { served: 'here', handle: allConsumerOffsets }],
    [RequestCode.GET_ALL_DELAY_OFFSET, { served: 'here', handle: delayOffsets }],
  ]
}
