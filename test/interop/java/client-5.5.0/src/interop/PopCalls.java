package interop;

import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.impl.ClientRemotingProcessor;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.impl.mqclient.MQClientAPIExt;
import org.apache.rocketmq.common.constant.ConsumeInitMode;
import org.apache.rocketmq.common.filter.ExpressionType;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ExtraInfoUtil;
import org.apache.rocketmq.remoting.protocol.header.NotificationRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;

/** The calls to pop of Apache's client, as its proxy makes them; each goes to whoever leads by the client's route. */
final class PopCalls {
    private static final long TIMEOUT_MS = 5000;
    static final int ALL_QUEUES = -1;

    private final ScenarioContext context;
    private final MQClientAPIExt api;
    private final String brokerName;
    private final String topic;
    private final String group;

    PopCalls(ScenarioContext context, MessageQueue queue, String group) {
        this.context = context;
        this.brokerName = queue.getBrokerName();
        this.topic = queue.getTopic();
        this.group = group;
        api = new MQClientAPIExt(new ClientConfig(), new NettyClientConfig(), new ClientRemotingProcessor(instance(context)), null);
        api.start();
    }

    static void setMode(ScenarioContext context, MessageQueue queue, String group, MessageRequestMode mode) throws Exception {
        MQClientInstance instance = instance(context);
        String address = instance.findBrokerAddressInPublish(queue.getBrokerName());
        instance.getMQClientAPIImpl().setMessageRequestMode(address, queue.getTopic(), group, mode, 0, TIMEOUT_MS);
    }

    private static MQClientInstance instance(ScenarioContext context) {
        return context.producer.getDefaultMQProducerImpl().getMqClientFactory();
    }

    private String address() {
        return instance(context).findBrokerAddressInPublish(brokerName);
    }

    /** What can be popped now or within the poll time; empty when there is nothing. */
    List<MessageExt> pop(int queueId, int count, long invisibleMs, long pollMs) throws Exception {
        return pop(queueId, count, invisibleMs, pollMs, false);
    }

    List<MessageExt> popInOrder(int queueId, int count, long invisibleMs) throws Exception {
        return pop(queueId, count, invisibleMs, 0, true);
    }

    private List<MessageExt> pop(int queueId, int count, long invisibleMs, long pollMs, boolean inOrder) throws Exception {
        PopMessageRequestHeader header = new PopMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(queueId);
        header.setMaxMsgNums(count);
        header.setInvisibleTime(invisibleMs);
        header.setPollTime(pollMs);
        header.setBornTime(System.currentTimeMillis());
        header.setInitMode(ConsumeInitMode.MIN);
        header.setExpType(ExpressionType.TAG);
        header.setExp("*");
        header.setOrder(inOrder);
        long timeoutMs = TIMEOUT_MS + pollMs;
        PopResult result = api.popMessageAsync(address(), brokerName, header, timeoutMs).get(timeoutMs, TimeUnit.MILLISECONDS);
        return result.getPopStatus() == PopStatus.FOUND ? result.getMsgFoundList() : List.of();
    }

    AckResult ack(MessageExt message) throws Exception {
        String[] extraInfo = extraInfo(message);
        AckMessageRequestHeader header = new AckMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(ExtraInfoUtil.getRealTopic(extraInfo, topic, group));
        header.setQueueId(ExtraInfoUtil.getQueueId(extraInfo));
        header.setOffset(ExtraInfoUtil.getQueueOffset(extraInfo));
        header.setExtraInfo(message.getProperty(MessageConst.PROPERTY_POP_CK));
        return api.ackMessageAsync(address(), header, TIMEOUT_MS).get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
    }

    AckResult ackAll(List<MessageExt> messages) throws Exception {
        List<String> all = messages.stream().map(message -> message.getProperty(MessageConst.PROPERTY_POP_CK)).toList();
        return api.batchAckMessageAsync(address(), topic, group, all, TIMEOUT_MS).get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
    }

    AckResult changeInvisible(MessageExt message, long invisibleMs) throws Exception {
        String[] extraInfo = extraInfo(message);
        ChangeInvisibleTimeRequestHeader header = new ChangeInvisibleTimeRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(ExtraInfoUtil.getRealTopic(extraInfo, topic, group));
        header.setQueueId(ExtraInfoUtil.getQueueId(extraInfo));
        header.setOffset(ExtraInfoUtil.getQueueOffset(extraInfo));
        header.setExtraInfo(message.getProperty(MessageConst.PROPERTY_POP_CK));
        header.setInvisibleTime(invisibleMs);
        return api.changeInvisibleTimeAsync(address(), brokerName, header, TIMEOUT_MS).get(TIMEOUT_MS, TimeUnit.MILLISECONDS);
    }

    boolean hasMessages(long pollMs) throws Exception {
        NotificationRequestHeader header = new NotificationRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(ALL_QUEUES);
        header.setPollTime(pollMs);
        header.setBornTime(System.currentTimeMillis());
        return api.notification(address(), header, TIMEOUT_MS + pollMs).get(TIMEOUT_MS + pollMs, TimeUnit.MILLISECONDS);
    }

    void close() {
        api.shutdown();
    }

    private static String[] extraInfo(MessageExt message) {
        return ExtraInfoUtil.split(message.getProperty(MessageConst.PROPERTY_POP_CK));
    }
}
