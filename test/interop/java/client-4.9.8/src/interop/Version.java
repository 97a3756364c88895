package interop;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.Options;
import org.apache.commons.cli.PosixParser;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.SubCommand;

/** The calls whose names or packages differ between the two client versions. This is the 4.x side. */
final class Version {
    private Version() {}

    /** What MQAdminStartup does, but for its log files: without logback that class does not load. */
    static void mqadmin(String[] arguments) {
        try {
            SubCommand command = command(arguments[0]);
            String[] own = Arrays.copyOfRange(arguments, 1, arguments.length);
            Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
            CommandLine line = ServerUtil.parseCmdLine("mqadmin " + arguments[0], own, options, new PosixParser());
            if (line.hasOption('n')) {
                System.setProperty(MixAll.NAMESRV_ADDR_PROPERTY, line.getOptionValue('n'));
            }
            command.execute(line, options, null);
        } catch (Exception failure) {
            failure.printStackTrace();
        }
    }

    private static SubCommand command(String name) throws Exception {
        String jar = SubCommand.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        try (JarFile file = new JarFile(jar)) {
            for (JarEntry entry : Collections.list(file.entries())) {
                String path = entry.getName();
                if (!path.startsWith("org/apache/rocketmq/tools/command/") || !path.matches(".*Comman?d\\.class")) {
                    continue;
                }
                Class<?> found = Class.forName(path.replace('/', '.').replaceAll("\\.class$", ""));
                if (found.isInterface() || !SubCommand.class.isAssignableFrom(found)) {
                    continue;
                }
                SubCommand command = (SubCommand) found.getDeclaredConstructor().newInstance();
                if (command.commandName().equals(name)) {
                    return command;
                }
            }
        }
        throw new IllegalArgumentException(name + " is no command");
    }

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
