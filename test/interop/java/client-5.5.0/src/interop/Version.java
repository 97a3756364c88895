package interop;

import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/** The calls whose names or packages differ between the two client versions. This is the 5.x side. */
final class Version {
    private Version() {}

    static void mqadmin(String[] arguments) {
        MQAdminStartup.main0(arguments, null);
    }

    /** What only this version can do. */
    static List<Scenario> scenarios(ScenarioContext context) {
        return List.of(new Timers(context), new PopPush(context), new PopByHand(context), new PopInOrder(context));
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues, Map.of());
    }

    /** The versions take topic and cluster in different order. */
    static void deleteFromNamesrv(DefaultMQAdminExt admin, String namesrv, String cluster, String topic) throws Exception {
        admin.deleteTopicInNameServer(Set.of(namesrv), cluster, topic);
    }

    static MessageExt viewMessage(DefaultMQProducer producer, String topic, String offsetMsgId) throws Exception {
        return producer.viewMessage(topic, offsetMsgId);
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static List<String> compressionMethods() {
        return List.of("ZLIB", "LZ4", "ZSTD");
    }

    static void compressWith(DefaultMQProducer producer, String method) {
        producer.setCompressType(CompressionType.of(method));
    }
}
