/** What clients and tools ask about topics and brokers. */
import {
  createResponse,
  DeleteTopicInNamesrvRequest,
  decodeTopicRouteData,
  encodeBrokerMemberGroup,
  encodeClusterInfo,
  encodeTopicList,
  encodeTopicRouteData,
  GetBrokerMemberGroupRequest,
  GetRouteInfoRequest,
  GetTopicsByClusterRequest,
  RegisterTopicRequest,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { ORDER_TOPIC_NAMESPACE } from '../key-value-table.ts'
import { type NamesrvContext, type ProcessorEntry, success } from './context.ts'

const FAQ = '\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.'
/** Bits of topicSysFlag. */
const UNIT = 1
const UNIT_SUB = 2

export function routeProcessors(context: NamesrvContext): ProcessorEntry[] {
  const { routes } = context
  const topicList = (topics: string[]) => success(encodeTopicList({ topicList: topics }))
  return [
    [RequestCode.GET_ROUTEINFO_BY_TOPIC, (_, request) => getRoute(context, request)],
    [RequestCode.GET_BROKER_CLUSTER_INFO, () => success(encodeClusterInfo(routes.clusterInfo()))],
    [RequestCode.GET_BROKER_MEMBER_GROUP, (_, request) => getMemberGroup(context, request)],
    [RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, () => topicList(routes.topics())],
    [
      RequestCode.GET_TOPICS_BY_CLUSTER,
      (_, request) => topicList(routes.topicsOfCluster(GetTopicsByClusterRequest.decode(request.extFields).cluster)),
    ],
    [RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS, () => getSystemTopics(context)],
    [RequestCode.GET_UNIT_TOPIC_LIST, () => topicList(routes.topicsByFlag((flag) => (flag & UNIT) !== 0))],
    [RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST, () => topicList(routes.topicsByFlag((flag) => (flag & UNIT_SUB) !== 0))],
    [
      RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
      () => topicList(routes.topicsByFlag((flag) => (flag & UNIT_SUB) !== 0 && (flag & UNIT) === 0)),
    ],
    [RequestCode.DELETE_TOPIC_IN_NAMESRV, (_, request) => deleteTopic(context, request)],
    [RequestCode.REGISTER_TOPIC_IN_NAMESRV, (_, request) => registerTopic(context, request)],
  ]
}

/** A topic without a route is everyday business: new topics, retry topics before their first use. */
function getRoute(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { topic } = GetRouteInfoRequest.decode(request.extFields)
  const route = context.routes.route(topic ?? '')
  if (topic === undefined || route === undefined) {
    return createResponse(
      ResponseCode.TOPIC_NOT_EXIST,
      `No topic route info in name server for the topic: ${topic ?? null}${FAQ}`,
    )
  }
  const orderTopicConf = context.orderMessageEnable ? context.keyValues.get(ORDER_TOPIC_NAMESPACE, topic) : undefined
  return success(encodeTopicRouteData(orderTopicConf === undefined ? route : { ...route, orderTopicConf }))
}

function getMemberGroup(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { clusterName, brokerName } = GetBrokerMemberGroupRequest.decode(request.extFields)
  return success(encodeBrokerMemberGroup(context.routes.memberGroup(clusterName, brokerName)))
}

function getSystemTopics(context: NamesrvContext): RemotingCommand {
  const { topics, brokerAddr } = context.routes.systemTopics()
  return success(encodeTopicList({ topicList: topics, ...(brokerAddr === undefined ? {} : { brokerAddr }) }))
}

function deleteTopic(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { topic, clusterName } = DeleteTopicInNamesrvRequest.decode(request.extFields)
  context.routes.deleteTopic(topic, clusterName === '' ? undefined : clusterName)
  return success()
}

function registerTopic(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { topic } = RegisterTopicRequest.decode(request.extFields)
  const { queueDatas } = decodeTopicRouteData(request.bodyBytes)
  if (!context.routes.registerTopic(topic, queueDatas)) {
    context.logger.warn({ topic, queueDatas }, 'did not register a topic on a broker that is not listed')
  }
  return success()
}
