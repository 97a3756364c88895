package interop;

import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;

/** One member of the consumer group: subscribes to TagA and TagB and prints each message that it is given. */
final class GroupConsumer {
    private final DefaultMQPushConsumer consumer;

    GroupConsumer(Clients clients, String name, String group, String topic) throws Exception {
        consumer = clients.pushConsumer(group);
        consumer.subscribe(topic, "TagA || TagB");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                Events.print("consumed", "consumer", name, "key", message.getKeys(), "tag", message.getTags(),
                    "queueId", message.getQueueId(), "queueOffset", message.getQueueOffset(),
                    "msgId", ((MessageClientExt) message).getOffsetMsgId(),
                    "body", new String(message.getBody(), StandardCharsets.UTF_8));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    void shutdown() {
        consumer.shutdown();
    }
}
