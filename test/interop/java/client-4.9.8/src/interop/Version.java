package interop;

import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** The calls whose names or packages differ between the two client versions. This is the 4.x side. */
final class Version {
    private Version() {}

    /** What only this version can do. */
    static List<Scenario> scenarios(ScenarioContext context) {
        return List.of();
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues);
    }

    /** The versions take topic and cluster in different order. */
    static void deleteFromNamesrv(DefaultMQAdminExt admin, String namesrv, String cluster, String topic) throws Exception {
        admin.deleteTopicInNameServer(Set.of(namesrv), topic, cluster);
    }

    static MessageExt viewMessage(DefaultMQProducer producer, String topic, String offsetMsgId) throws Exception {
        return producer.viewMessage(topic, offsetMsgId);
    }

    static void broadcast(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    /** There is one, and it is not chosen. */
    static List<String> compressionMethods() {
        return List.of("ZLIB");
    }

    static void compressWith(DefaultMQProducer producer, String method) {}
}
